/** The flags of Node with which the thimble command starts: packages/cli/bin/thimble.js. */
export const THIMBLE_FLAGS: readonly string[] = ['--max-semi-space-size=1'];
