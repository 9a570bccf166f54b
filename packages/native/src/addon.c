/* addon.c - the engine as a JavaScript class; index.ts holds its TypeScript declaration.
 *
 *   new Engine(arenaBytes, scratchBytes, threads, variant)
 *   addEntry(words: Int32Array): number       write(offset, data)   read(offset, into)
 *   run(entry): Promise<void>                 profile(entry): Promise<number[]>   dispose()
 *   variants: string[]                        those that this machine can run, fastest first
 *   returnFreedMemory(): boolean              see allocator.h
 *   measurePeak(…): Promise<number>           see peaks.h
 *
 * What a call does with its arguments is checked here, whoever calls: a wrong one is a JavaScript
 * exception, never a crash. That holds for everything but the words of an entry when it is run.
 * Of those addEntry checks what C can know: opcodes, lengths, operands that begin inside of the
 * arena (engine.h). How far a kernel reads and writes from there follows from shapes, which are in
 * the words as scalars of each op's own, and whether those fit the places is known where the
 * shapes are: core checks every program before it is loaded (program-check/), on every executor,
 * and index.ts gives this class words of such programs only.
 *
 * A run happens on one of libuv's worker threads, as thread 0 of the pool, so the event loop goes
 * on; the engine refuses everything else meanwhile. An engine that JavaScript forgets, or that is
 * left when its environment ends, is closed by the finaliser. A run holds a strong reference, and
 * Node waits for it before an environment ends, so it never loses its engine.
 */
#include <node_api.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocator.h"
#include "engine.h"
#include "peaks.h"

enum { MAX_ARGUMENTS = 4, NAME_BYTES = 16, MESSAGE_BYTES = 160 };

/* Offsets travel to the kernels as int32 in units of ALIGNMENT. */
#define MAX_BYTES ((double)INT32_MAX * ALIGNMENT)

typedef enum { OPEN, RUNNING, DISPOSED } State;

typedef struct {
  Engine engine;
  State state;
  napi_ref self; /* weak; strong during a run */
  napi_async_work work;
  napi_deferred deferred;
  const Entry *entry;
  i32 *singleSteps; /* profile only, as ms */
  double *ms;
} Handle;

/* The JavaScript call being served. */
typedef struct {
  napi_env env;
  napi_value this;
  napi_value arguments[MAX_ARGUMENTS];
  Handle *handle;
} Call;

static napi_value fail(napi_env env, const char *message) {
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (!pending) napi_throw_error(env, NULL, message);
  return NULL;
}

static napi_value fail_argument(napi_env env, const char *name, const char *expected) {
  char message[MESSAGE_BYTES];
  snprintf(message, sizeof message, "%s: expected %s", name, expected);
  napi_throw_range_error(env, NULL, message);
  return NULL;
}

/* Reads `this` and the arguments of a method; throws and returns false during a run. */
static bool begin(napi_env env, napi_callback_info info, Call *call) {
  size_t count = MAX_ARGUMENTS;
  call->env = env;
  void *handle = NULL;
  if (napi_get_cb_info(env, info, &count, call->arguments, &call->this, NULL) != napi_ok ||
      napi_unwrap(env, call->this, &handle) != napi_ok) {
    fail(env, "this: expected an Engine");
    return false;
  }
  call->handle = handle;
  if (call->handle->state == OPEN) return true;
  fail(env, call->handle->state == RUNNING ? "a run of this engine is under way"
                                           : "this engine was disposed of");
  return false;
}

/* A multiple of `unit` from `low` to `high`. */
typedef struct {
  double unit, low, high;
} Bounds;

static bool number_of(const Call *call, i32 index, const char *name, Bounds range, usize *result) {
  double value = -1;
  if (napi_get_value_double(call->env, call->arguments[index], &value) == napi_ok &&
      value >= range.low && value <= range.high &&
      value == range.unit * (double)(int64_t)(value / range.unit)) {
    *result = (usize)value;
    return true;
  }
  char expected[MESSAGE_BYTES / 2];
  snprintf(expected, sizeof expected, "a multiple of %.0f from %.0f to %.0f", range.unit, range.low,
           range.high);
  fail_argument(call->env, name, expected);
  return false;
}

/* A typed array argument and the bytes of its elements, 0 for a kind that no tensor has. */
static usize array_of(const Call *call, i32 index, void **data, usize *count,
                      napi_typedarray_type *type) {
  bool is_array = false;
  napi_is_typedarray(call->env, call->arguments[index], &is_array);
  if (!is_array || napi_get_typedarray_info(call->env, call->arguments[index], type, count, data,
                                            NULL, NULL) != napi_ok) {
    return 0;
  }
  return *type == napi_int32_array || *type == napi_float32_array ? 4 : *type == napi_int8_array;
}

/* An Int32Array argument; throws otherwise. */
static bool words_of(const Call *call, i32 index, const char *name, void **data, usize *count) {
  napi_typedarray_type type = napi_uint8_array;
  if (array_of(call, index, data, count, &type) != 0 && type == napi_int32_array) return true;
  fail_argument(call->env, name, "an Int32Array");
  return false;
}

/* The contents of a tensor; throws otherwise. */
static bool contents_of(const Call *call, i32 index, const char *name, void **data, usize *bytes) {
  napi_typedarray_type type = napi_uint8_array;
  usize count = 0;
  const usize size = array_of(call, index, data, &count, &type);
  *bytes = count * size;
  if (size == 0) fail_argument(call->env, name, "a Float32Array, an Int32Array or an Int8Array");
  return size != 0;
}

static bool entry_of(const Call *call, const Entry **entry) {
  const Engine *engine = &call->handle->engine;
  usize index = 0;
  const Bounds range = {1, 0, (double)engine->entryCount - 1};
  if (!number_of(call, 0, "entry", range, &index)) return false;
  *entry = &engine->entries[index];
  return true;
}

/* Frees all but the handle itself and tells the garbage collector. */
static void close_handle(napi_env env, Handle *handle) {
  int64_t total = 0;
  const int64_t bytes = (int64_t)engine_bytes(&handle->engine);
  if (handle->state == DISPOSED) return;
  handle->state = DISPOSED;
  engine_close(&handle->engine);
  napi_adjust_external_memory(env, -bytes, &total);
}

static void finalise(napi_env env, void *data, void *hint) {
  Handle *handle = data;
  (void)hint;
  close_handle(env, handle);
  napi_delete_reference(env, handle->self);
  free(handle);
}

/* Reads the constructor's arguments into an engine that is not open yet. */
static bool engine_arguments(const Call *call, Engine *engine) {
  usize threads = 0;
  const Bounds bytes = {ALIGNMENT, 0, MAX_BYTES};
  if (!number_of(call, 0, "arenaBytes", bytes, &engine->arenaBytes) ||
      !number_of(call, 1, "scratchBytes", bytes, &engine->scratchBytes) ||
      !number_of(call, 2, "threads", (Bounds){1, 1, MAX_THREADS}, &threads)) {
    return false;
  }
  char name[NAME_BYTES] = "";
  napi_get_value_string_utf8(call->env, call->arguments[3], name, sizeof name, NULL);
  const Variant *variant = VARIANTS;
  while (variant->name && (strcmp(variant->name, name) != 0 || !variant->supported())) variant++;
  if (!variant->name) {
    fail_argument(call->env, "variant", "one of this machine's variants");
    return false;
  }
  engine->threads = (i32)threads;
  engine->variant = variant;
  return true;
}

static napi_value construct(napi_env env, napi_callback_info info) {
  Call call = {.env = env};
  size_t count = MAX_ARGUMENTS;
  napi_value target = NULL;
  napi_get_new_target(env, info, &target);
  if (!target) return fail(env, "Engine: expected a call with new");
  if (napi_get_cb_info(env, info, &count, call.arguments, &call.this, NULL) != napi_ok) return NULL;
  Handle *handle = calloc(1, sizeof *handle);
  if (!handle) return fail(env, "no memory for an engine");
  const char *refusal = NULL;
  if (!engine_arguments(&call, &handle->engine) ||
      (refusal = engine_open(&handle->engine)) != NULL) {
    free(handle);
    return refusal ? fail(env, refusal) : NULL;
  }
  if (napi_wrap(env, call.this, handle, finalise, NULL, &handle->self) != napi_ok) {
    engine_close(&handle->engine);
    free(handle);
    return fail(env, "Engine: the object cannot hold an engine");
  }
  int64_t total = 0;
  napi_adjust_external_memory(env, (int64_t)engine_bytes(&handle->engine), &total);
  return call.this;
}

static napi_value add_entry(napi_env env, napi_callback_info info) {
  Call call;
  void *words = NULL;
  usize count = 0;
  if (!begin(env, info, &call) || !words_of(&call, 0, "words", &words, &count)) return NULL;
  Engine *engine = &call.handle->engine;
  const char *expected = engine_add(engine, words, count);
  if (expected) return fail_argument(env, "words", expected);
  napi_value index = NULL;
  napi_create_int32(env, engine->entryCount - 1, &index);
  return index;
}

/* The part of the arena that (offset, typed array) name; throws when it is not all inside. */
static bool span_of(const Call *call, char **place, void **data, usize *bytes) {
  const Engine *engine = &call->handle->engine;
  usize offset = 0;
  const Bounds range = {4, 0, (double)engine->arenaBytes};
  if (!number_of(call, 0, "offset", range, &offset)) return false;
  if (!contents_of(call, 1, "data", data, bytes)) return false;
  if (*bytes > engine->arenaBytes - offset) {
    fail_argument(call->env, "data", "no more elements than fit between offset and arena's end");
    return false;
  }
  *place = engine->memory + offset;
  return true;
}

static napi_value write_arena(napi_env env, napi_callback_info info) {
  Call call;
  char *place = NULL;
  void *data = NULL;
  usize bytes = 0;
  if (!begin(env, info, &call) || !span_of(&call, &place, &data, &bytes)) return NULL;
  if (bytes > 0) memcpy(place, data, bytes);
  return NULL;
}

static napi_value read_arena(napi_env env, napi_callback_info info) {
  Call call;
  char *place = NULL;
  void *data = NULL;
  usize bytes = 0;
  if (!begin(env, info, &call) || !span_of(&call, &place, &data, &bytes)) return NULL;
  if (bytes > 0) memcpy(data, place, bytes);
  return NULL;
}

/* On a libuv worker thread: no JavaScript here. */
static void execute(napi_env env, void *data) {
  Handle *handle = data;
  (void)env;
  const Entry *entry = handle->entry;
  if (handle->ms) engine_profile(&handle->engine, entry, handle->singleSteps, handle->ms);
  else engine_run(&handle->engine, entry);
}

/* What the promise resolves to: the times of a profile, else undefined. */
static napi_value result_of(napi_env env, const Handle *handle) {
  napi_value result = NULL;
  if (!handle->ms) {
    napi_get_undefined(env, &result);
    return result;
  }
  const uint32_t steps = (uint32_t)handle->entry->steps;
  napi_create_array_with_length(env, steps, &result);
  for (uint32_t step = 0; step < steps; step++) {
    napi_value ms = NULL;
    napi_create_double(env, handle->ms[step], &ms);
    napi_set_element(env, result, step, ms);
  }
  return result;
}

/* Back on the JavaScript thread. When the environment is ending calls fail, and nobody listens. */
static void complete(napi_env env, napi_status status, void *data) {
  Handle *handle = data;
  napi_value result = result_of(env, handle);
  handle->state = OPEN;
  napi_delete_async_work(env, handle->work);
  if (status == napi_ok) napi_resolve_deferred(env, handle->deferred, result);
  else napi_reject_deferred(env, handle->deferred, result);
  free(handle->singleSteps);
  free(handle->ms);
  handle->singleSteps = NULL;
  handle->ms = NULL;
  napi_reference_unref(env, handle->self, NULL);
}

/* Queues the run that the handle describes; returns its promise. */
static napi_value start(Call *call, const Entry *entry) {
  Handle *handle = call->handle;
  napi_env env = call->env;
  napi_async_work *work = &handle->work;
  napi_value promise = NULL, name = NULL;
  handle->entry = entry;
  if (napi_create_string_utf8(env, "thimble.run", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_async_work(env, NULL, name, execute, complete, handle, work) != napi_ok) {
    return fail(env, "the run cannot be started");
  }
  if (napi_create_promise(env, &handle->deferred, &promise) != napi_ok ||
      napi_queue_async_work(env, handle->work) != napi_ok) {
    napi_delete_async_work(env, handle->work);
    return fail(env, "the run cannot be started");
  }
  napi_reference_ref(env, handle->self, NULL);
  handle->state = RUNNING;
  return promise;
}

static napi_value run(napi_env env, napi_callback_info info) {
  Call call;
  const Entry *entry = NULL;
  if (!begin(env, info, &call) || !entry_of(&call, &entry)) return NULL;
  return start(&call, entry);
}

static napi_value profile(napi_env env, napi_callback_info info) {
  Call call;
  const Entry *entry = NULL;
  if (!begin(env, info, &call) || !entry_of(&call, &entry)) return NULL;
  Handle *handle = call.handle;
  handle->singleSteps = engine_single_steps(entry);
  handle->ms = calloc((usize)entry->steps + 1, sizeof(double));
  napi_value promise = handle->singleSteps && handle->ms ? start(&call, entry)
                                                         : fail(env, "no memory for a profile");
  if (promise) return promise;
  free(handle->singleSteps);
  free(handle->ms);
  handle->singleSteps = NULL;
  handle->ms = NULL;
  return NULL;
}

static napi_value dispose(napi_env env, napi_callback_info info) {
  Call call;
  if (begin(env, info, &call)) close_handle(env, call.handle);
  return NULL;
}

static napi_value supported_variants(napi_env env) {
  napi_value names = NULL;
  uint32_t count = 0;
  napi_create_array(env, &names);
  for (const Variant *variant = VARIANTS; variant->name; variant++) {
    napi_value name = NULL;
    if (!variant->supported()) continue;
    napi_create_string_utf8(env, variant->name, NAPI_AUTO_LENGTH, &name);
    napi_set_element(env, names, count++, name);
  }
  return names;
}

static napi_value return_freed(napi_env env, napi_callback_info info) {
  napi_value done = NULL;
  (void)info;
  napi_get_boolean(env, return_freed_memory(), &done);
  return done;
}

static bool export_function(napi_env env, napi_value exports, const char *name,
                            napi_callback function) {
  napi_value value = NULL;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, function, NULL, &value) == napi_ok &&
         napi_set_named_property(env, exports, name, value) == napi_ok;
}

NAPI_MODULE_INIT() {
  const napi_property_descriptor methods[] = {
      {"addEntry", NULL, add_entry, NULL, NULL, NULL, napi_default_method, NULL},
      {"write", NULL, write_arena, NULL, NULL, NULL, napi_default_method, NULL},
      {"read", NULL, read_arena, NULL, NULL, NULL, napi_default_method, NULL},
      {"run", NULL, run, NULL, NULL, NULL, napi_default_method, NULL},
      {"profile", NULL, profile, NULL, NULL, NULL, napi_default_method, NULL},
      {"dispose", NULL, dispose, NULL, NULL, NULL, napi_default_method, NULL},
  };
  napi_value engine = NULL;
  if (napi_define_class(env, "Engine", NAPI_AUTO_LENGTH, construct, NULL,
                        sizeof methods / sizeof *methods, methods, &engine) != napi_ok ||
      napi_set_named_property(env, exports, "Engine", engine) != napi_ok ||
      napi_set_named_property(env, exports, "variants", supported_variants(env)) != napi_ok ||
      !export_function(env, exports, "returnFreedMemory", return_freed) ||
      !export_function(env, exports, "measurePeak", measure_peak)) {
    return fail(env, "thimble.node cannot be initialised");
  }
  return exports;
}
