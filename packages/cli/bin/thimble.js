#!/usr/bin/env node
/** The thimble command. Committed, unlike dist, so that npm can link it before anything is built. */
import '../dist/main.js';
