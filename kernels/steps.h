/* steps.h - how the words of an entry are walked: steps of [opcode, words in the arguments, arguments...],
 * one behind the other, then OP_END. The arguments are the struct of program.h.
 */
#ifndef THIMBLE_STEPS_H
#define THIMBLE_STEPS_H

#include "kernel.h"
#include "program.h"

/* Words in front of a step's arguments. */
enum { STEP_HEAD = 2 };

static inline i32 is_end(const i32 *step) { return step[0] == OP_END; }
static inline const i32 *step_arguments(const i32 *step) { return step + STEP_HEAD; }
/* Words of a step, head included. */
static inline i32 step_words(const i32 *step) { return STEP_HEAD + step[1]; }
static inline const i32 *step_after(const i32 *step) { return step + step_words(step); }

#endif
