// A CUDA runtime and a cuDNN without a device, for tests: memory is the host's, kernels do nothing, calls are counted.
//
// Through it, the CUDA provider of ONNX Runtime opens a graph on any machine. Where it places nodes, what it copies and
// what it calls are then real; numbers and speed are not. Every other function it asks for is added as one that returns
// 0, success (cuda_stub.py). The layouts are those of CUDA 13 and cuDNN 9.

#include <stdlib.h>
#include <string.h>

enum { LAUNCHES, PRODUCTS, CUDNN_CALLS, TO_DEVICE, PAGEABLE, TO_HOST, WAITS, REPLAYS, VIOLATIONS, BYTES, COUNTS };
static long counts[COUNTS];

void stub_read(long *out) { memcpy(out, counts, sizeof counts); }
void stub_reset(void) { memset(counts, 0, BYTES * sizeof *counts); }  // the bytes allocated stay

// --- memory: all of it the host's; what is pinned is remembered, for a capture may copy from nowhere else

enum { MOST = 1 << 14 };
typedef struct { const char *start; size_t size; } Range;
static Range pinned[MOST];
static int pinned_count, capturing;

static int is_pinned(const void *address) {
  for (int i = 0; i < pinned_count; i++)
    if ((const char *)address >= pinned[i].start && (const char *)address < pinned[i].start + pinned[i].size) return 1;
  return 0;
}

static int allocate(void **address, size_t size) {
  counts[VIOLATIONS] += capturing;  // nothing may be allocated while a stream is captured
  return posix_memalign(address, 4096, size + 4096);
}

int cudaMalloc(void **address, size_t size) {
  counts[BYTES] += size;
  return allocate(address, size);
}
int cudaMallocFromPoolAsync(void **address, size_t size, void *pool, void *stream) { return cudaMalloc(address, size); }
int cudaHostRegister(void *address, size_t size, unsigned flags) {
  if (pinned_count < MOST) pinned[pinned_count++] = (Range){address, size};
  return 0;
}
int cudaHostAlloc(void **address, size_t size, unsigned flags) {
  return allocate(address, size) || cudaHostRegister(*address, size, flags);
}
int cudaMallocHost(void **address, size_t size) { return cudaHostAlloc(address, size, 0); }
int cudaFree(void *address) { free(address); return 0; }
int cudaFreeAsync(void *address, void *stream) { free(address); return 0; }
int cudaHostUnregister(void *address) {
  for (int i = 0; i < pinned_count; i++)
    if (pinned[i].start == address) pinned[i] = pinned[--pinned_count];
  return 0;
}
int cudaFreeHost(void *address) { cudaHostUnregister(address); free(address); return 0; }
int cudaMemGetInfo(size_t *free_bytes, size_t *total) { *free_bytes = *total = 80UL << 30; return 0; }

// --- copies: a captured one reads its source again at every replay, so a source that changes is stale

static struct { const void *source; void *content; size_t size; } captured[MOST];
static int captured_count;

int stub_stale(void) {
  int stale = 0;
  for (int i = 0; i < captured_count; i++) stale += memcmp(captured[i].source, captured[i].content, captured[i].size) != 0;
  return stale;
}

static int copy(void *target, const void *source, size_t size, int kind) {
  const int to_device = kind == 1, to_host = kind == 2;
  counts[TO_DEVICE] += to_device;
  counts[PAGEABLE] += to_device && !is_pinned(source);
  counts[TO_HOST] += to_host;
  if (capturing && (to_device || to_host)) {
    counts[VIOLATIONS] += !is_pinned(to_device ? source : target);
    if (to_device && captured_count < MOST) {
      void *content = malloc(size);
      memcpy(content, source, size);
      captured[captured_count].source = source;
      captured[captured_count].content = content;
      captured[captured_count++].size = size;
    }
  }
  memmove(target, source, size);
  if (to_host && size == sizeof(int)) *(int *)target = 1000;  // how many elements NonZero found: no kernel counts them
  return 0;
}
int cudaMemcpy(void *target, const void *source, size_t size, int kind) { return copy(target, source, size, kind); }
int cudaMemcpyAsync(void *target, const void *source, size_t size, int kind, void *stream) {
  return copy(target, source, size, kind);
}
int cudaMemset(void *target, int value, size_t size) { memset(target, value, size); return 0; }
int cudaMemsetAsync(void *target, int value, size_t size, void *stream) { memset(target, value, size); return 0; }

// --- streams, events, capture

static int wait_here(void) { counts[WAITS]++; counts[VIOLATIONS] += capturing; return 0; }
int cudaStreamSynchronize(void *stream) { return wait_here(); }
int cudaDeviceSynchronize(void) { return wait_here(); }
int cudaEventSynchronize(void *event) { return wait_here(); }
int cudaStreamCreate(void **stream) { *stream = (void *)16; return 0; }
int cudaStreamCreateWithFlags(void **stream, unsigned flags) { return cudaStreamCreate(stream); }
int cudaEventCreate(void **event) { *event = (void *)32; return 0; }
int cudaEventCreateWithFlags(void **event, unsigned flags) { return cudaEventCreate(event); }
int cudaStreamIsCapturing(void *stream, int *status) { *status = capturing; return 0; }
int cudaStreamBeginCapture(void *stream, int mode) { capturing = 1; return 0; }
int cudaStreamEndCapture(void *stream, void **graph) { capturing = 0; *graph = (void *)48; return 0; }
int cudaGraphInstantiate(void **executable, void *graph, unsigned long long flags) { *executable = (void *)64; return 0; }
int cudaGraphLaunch(void *executable, void *stream) { counts[REPLAYS]++; return 0; }

// --- kernels

typedef struct { unsigned x, y, z; } Dim;
static __thread struct { Dim grid, block; size_t shared; void *stream; } call;

int cudaLaunchKernel(const void *f, Dim grid, Dim block, void **args, size_t shared, void *stream) {
  counts[LAUNCHES]++;
  return 0;
}
int __cudaLaunchKernel(void *f, Dim grid, Dim block, void **args, size_t shared, void *stream) {
  counts[LAUNCHES]++;
  return 0;
}
int cudaLaunchKernelExC(const void *config, const void *f, void **args) { counts[LAUNCHES]++; return 0; }
int __cudaGetKernel(void **kernel, const void *f) { *kernel = (void *)f; return 0; }
unsigned __cudaPushCallConfiguration(Dim grid, Dim block, size_t shared, void *stream) {
  call.grid = grid, call.block = block, call.shared = shared, call.stream = stream;
  return 0;
}
int __cudaPopCallConfiguration(Dim *grid, Dim *block, size_t *shared, void *stream) {
  *grid = call.grid, *block = call.block, *shared = call.shared, *(void **)stream = call.stream;
  return 0;
}
void **__cudaRegisterFatBinary(void *binary) { static void *handle[4]; return handle; }
int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, const void *f, int size, size_t shared, unsigned flags) {
  *blocks = 2;
  return 0;
}
typedef struct { size_t memory[3]; int block_threads, registers, ptx, binary; } Function;  // the head of cudaFuncAttributes
int cudaFuncGetAttributes(Function *of, const void *f) { *of = (Function){{0}, 1024, 32, 90, 90}; return 0; }

// --- the device: an H100, as far as anyone asks

int cudaGetDeviceCount(int *count) { *count = 1; return 0; }
int cudaGetDevice(int *device) { *device = 0; return 0; }
int cudaDriverGetVersion(int *version) { *version = 13000; return 0; }
int cudaRuntimeGetVersion(int *version) { *version = 13000; return 0; }
const char *cudaGetErrorString(int error) { return "stub"; }
const char *cudaGetErrorName(int error) { return "stub"; }

typedef struct {  // the head of cudaDeviceProp
  char name[256], ids[24];
  unsigned node_mask;
  size_t memory, shared_memory;
  int registers, warp;
  size_t pitch;
  int block_threads, block_dim[3], grid_dim[3];
  size_t constant_memory;
  int major, minor;
  size_t texture[2];
  int multiprocessors;
} Properties;
int cudaGetDeviceProperties(Properties *device, int number) {
  *device = (Properties){.name = "stub", .memory = 80UL << 30, .shared_memory = 49152, .registers = 65536, .warp = 32,
                         .block_threads = 1024, .block_dim = {1024, 1024, 64}, .grid_dim = {2147483647, 65535, 65535},
                         .constant_memory = 65536, .major = 9, .multiprocessors = 132};
  return 0;
}
int cudaDeviceGetAttribute(int *value, int attribute, int device) {
  switch (attribute) {
    case 1: *value = 1024; break;   // threads of a block
    case 8: *value = 49152; break;  // shared memory of a block
    case 10: *value = 32; break;    // a warp
    case 16: *value = 132; break;   // multiprocessors
    case 75: *value = 9; break;     // compute capability 9.0
    case 76: *value = 0; break;
    case 97: *value = 232448; break;  // shared memory of a block that asks for more
    default: *value = 1;
  }
  return 0;
}
int cudaPointerGetAttributes(int *attributes, const void *address) {
  memset(attributes, 0, 24);
  attributes[0] = 2;  // memory of the device
  return 0;
}

// --- cuBLAS

int cublasCreate_v2(void **handle) { *handle = (void *)80; return 0; }
int cublasLtCreate(void **handle) { *handle = (void *)96; return 0; }
int cublasGetMathMode(void *handle, int *mode) { *mode = 0; return 0; }
const char *cublasGetStatusName(int status) { return "stub"; }
const char *cublasGetStatusString(int status) { return "stub"; }
#define PRODUCT(name) int name() { counts[PRODUCTS]++; return 0; }
PRODUCT(cublasSgemm_v2) PRODUCT(cublasSgemmStridedBatched) PRODUCT(cublasSgemmBatched)
PRODUCT(cublasDgemm_v2) PRODUCT(cublasDgemmStridedBatched) PRODUCT(cublasDgemmBatched)
PRODUCT(cublasGemmEx) PRODUCT(cublasGemmStridedBatchedEx) PRODUCT(cublasGemmBatchedEx) PRODUCT(cublasLtMatmul)

// --- cuDNN: one engine for whatever is asked, without workspace

size_t cudnnGetVersion(void) { return 91500; }
size_t cudnnGetCudartVersion(void) { return 13000; }
const char *cudnnGetErrorString(int status) { return "stub"; }
void cudnnGetLastErrorString(char *message, size_t size) { if (size) *message = 0; }
int cudnnCreate(void **handle) { *handle = (void *)112; return 0; }
#define DESCRIPTOR(name) int name(void **made) { *made = (void *)128; return 0; }
DESCRIPTOR(cudnnCreateTensorDescriptor) DESCRIPTOR(cudnnCreateReduceTensorDescriptor)
DESCRIPTOR(cudnnCreateActivationDescriptor) DESCRIPTOR(cudnnCreateConvolutionDescriptor)
DESCRIPTOR(cudnnCreateFilterDescriptor) DESCRIPTOR(cudnnCreatePoolingDescriptor)
int cudnnGetReductionWorkspaceSize(void *h, void *r, void *a, void *c, size_t *size) { *size = 1024; return 0; }
int cudnnGetReductionIndicesSize(void *h, void *r, void *a, void *c, size_t *size) { *size = 1024; return 0; }
#define CALL(name) int name() { counts[CUDNN_CALLS]++; return 0; }
CALL(cudnnReduceTensor) CALL(cudnnBatchNormalizationForwardInference) CALL(cudnnSoftmaxForward)
CALL(cudnnPoolingForward) CALL(cudnnActivationForward) CALL(cudnnBackendExecute)
int cudnnBackendCreateDescriptor(int type, void **made) { *made = (void *)144; return 0; }
int cudnnBackendGetAttribute(void *descriptor, int name, int type, long wanted, long *count, void *out) {
  const int knobs_or_notes = name == 302 || (name > 1301 && name < 1400);  // an engine has none
  const int results = name == 202;                                         // of the heuristics: one
  if (count) *count = knobs_or_notes ? 0 : results ? 1 : wanted > 0;
  if (out && wanted > 0 && !knobs_or_notes) {
    if (type == 3) *(long *)out = 0;   // an int64
    if (type == 23) *(int *)out = 0;   // an int32
  }
  return 0;
}
