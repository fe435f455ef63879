// Kernels as NumPy ufuncs and gufuncs; what NumPy has to know of a function follows from its entry.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "../runtime/run.h"
#include "functions.h"
#include "memory.h"

namespace sigmax {

const Kernels* kernels = nullptr;
int bfloat16_number = NPY_NOTYPE;

int rows_function_count() {
  int count = 0;
  for (const RowsFunctions* family : kernels->families) count += family->count;
  return count;
}
const RowsFunction& rows_function(int number) {
  for (const RowsFunctions* family : kernels->families) {
    if (number < family->count) return family->first[number];
    number -= family->count;
  }
  return kernels->families[0]->first[0];
}

int type_number(Type type) {
  const int numbers[kTypes] = {NPY_HALF, bfloat16_number, NPY_FLOAT, NPY_DOUBLE};
  return numbers[type];
}
Type storage_type(PyArrayObject* array) {
  const int number = PyArray_TYPE(array);
  for (Type type : {kFloat32, kFloat64, kFloat16, kBFloat16})
    if (number == type_number(type)) return type;
  return kTypes;
}

// ---------------------------------------------------------------- what follows from an entry

Extent extent_of(Name name) {
  switch (name) {
    case kX:
    case kSecond:
    case kOut: return kPerClass;
    case kClassWeight:
    case kPrior:
    case kMask: return kPerClassOrOne;
    default: return kPerRow;
  }
}
int operand_type(Name name, int storage) {
  switch (name) {
    case kX:
    case kSecond:
    case kCotangent:
    case kResult:
    case kOut: return storage;
    case kMask: return NPY_BOOL;
    case kLabel: return NPY_INT64;
    default: return NPY_DOUBLE;
  }
}

namespace {

int operand_count(const RowsFunction& function) { return function.inputs + function.outputs; }

// As "(n),(),(a)->()": what has a number per class or one for all has a dimension of its own.
struct Signature {
  char text[128];

  explicit Signature(const RowsFunction& function) {
    char* at = text;
    char own = 'a';
    for (int k = 0; k < operand_count(function); ++k) {
      if (k == function.inputs) *at++ = '-', *at++ = '>';
      else if (k > 0) *at++ = ',';
      *at++ = '(';
      const Extent extent = extent_of(function.operands[k]);
      if (extent == kPerClass) *at++ = 'n';
      if (extent == kPerClassOrOne) *at++ = own++;
      *at++ = ')';
    }
    *at = 0;
  }
};

void set_error(PyObject* type, const char* message) {
  PyGILState_STATE state = PyGILState_Ensure();
  if (!PyErr_Occurred()) PyErr_SetString(type, message);
  PyGILState_Release(state);
}

// ---------------------------------------------------------------- loops

// `data` of a loop along an axis.
struct RowsLoop {
  const RowsFunction* function;
  Type type;
};

void rows_loop(char** args, const npy_intp* dimensions, const npy_intp* steps, void* data) {
  const RowsLoop& loop = *static_cast<const RowsLoop*>(data);
  const RowsFunction& function = *loop.function;
  const npy_intp *own = dimensions + 2, *core = steps + operand_count(function);
  RowsCall call;
  call.rows = dimensions[0];
  call.classes = dimensions[1];
  call.type = loop.type;
  for (int k = 0; k < operand_count(function); ++k) {
    const Name name = function.operands[k];
    Operand& operand = call[name];
    operand = {args[k], steps[k], 0};
    const Extent extent = extent_of(name);
    if (extent == kPerRow) continue;
    operand.class_stride = *core++;
    if (extent != kPerClassOrOne) continue;
    const npy_intp count = *own++;
    if (count == 1) operand.class_stride = 0;
    else if (count != call.classes) return set_error(PyExc_ValueError, "operands per class must have a number for each class, or one for all");
  }
  if (!run_rows(function, call)) set_error(PyExc_MemoryError, "");
}

struct ElementwiseLoop {
  const ElementwiseFunction* function;
  Type type;
};

void elementwise_loop(char** args, const npy_intp* dimensions, const npy_intp* steps, void* data) {
  const ElementwiseLoop& loop = *static_cast<const ElementwiseLoop*>(data);
  const bool has_cotangent = loop.function->has_cotangent;
  ElementwiseCall call;
  call.x = {args[0], steps[0], 0};
  if (has_cotangent) call.cotangent = {args[1], steps[1], 0};
  call.out = {args[1 + has_cotangent], steps[1 + has_cotangent], 0};
  run_elements(*loop.function, loop.type, call, dimensions[0]);
}

// bool and integers become float64 before any arithmetic, a block at a time.
template <class Integer>
void integer_loop(char** args, const npy_intp* dimensions, const npy_intp* steps, void* data) {
  const ElementwiseLoop& loop = *static_cast<const ElementwiseLoop*>(data);
  constexpr npy_intp block = 16 * kTaskSize;
  thread_local double* x = static_cast<double*>(std::malloc(block * sizeof(double)));
  if (x == nullptr) return set_error(PyExc_MemoryError, "");
  for (npy_intp at = 0; at < dimensions[0]; at += block) {
    const npy_intp n = std::min(block, dimensions[0] - at);
    for (npy_intp i = 0; i < n; ++i) {
      Integer value;
      std::memcpy(&value, args[0] + (at + i) * steps[0], sizeof(value));
      x[i] = static_cast<double>(value);
    }
    ElementwiseCall call;
    call.x = {reinterpret_cast<char*>(x), sizeof(double), 0};
    call.out = {args[1] + at * steps[1], steps[1], 0};
    run_elementwise(loop.function->kernels[kFloat64], call, n);
  }
}

struct IntegerType {
  char type;
  PyUFuncGenericFunction loop;
};
const IntegerType integer_types[] = {
    {NPY_BOOL, integer_loop<npy_bool>},         {NPY_BYTE, integer_loop<npy_byte>},
    {NPY_UBYTE, integer_loop<npy_ubyte>},       {NPY_SHORT, integer_loop<npy_short>},
    {NPY_USHORT, integer_loop<npy_ushort>},     {NPY_INT, integer_loop<npy_int>},
    {NPY_UINT, integer_loop<npy_uint>},         {NPY_LONG, integer_loop<npy_long>},
    {NPY_ULONG, integer_loop<npy_ulong>},       {NPY_LONGLONG, integer_loop<npy_longlong>},
    {NPY_ULONGLONG, integer_loop<npy_ulonglong>},
};

struct BinaryLossLoop {
  const BinaryLossFunction* function;
  Type type;
};

double no_divisor = 1.0;

void binary_loss_loop(char** args, const npy_intp* dimensions, const npy_intp* steps, void* data) {
  const BinaryLossLoop& loop = *static_cast<const BinaryLossLoop*>(data);
  auto next = [&] { return Operand{*args++, *steps++, 0}; };
  BinaryLossCall call;
  for (Operand* operand : {&call.x, &call.labels, &call.weight, &call.pos_weight, &call.smoothing}) *operand = next();
  call.divisor = loop.function->has_gradient ? next() : shared(&no_divisor);
  call.loss = next();
  if (loop.function->has_gradient) call.gradient = next();
  run_binary_loss(loop.function->kernels[loop.type], call, dimensions[0]);
}

// ---------------------------------------------------------------- ufunc objects

vectorcallfunc numpy_vectorcall = nullptr;

bool is_large(PyObject* object) {
  return PyArray_CheckExact(object) && static_cast<std::size_t>(PyArray_NBYTES(reinterpret_cast<PyArrayObject*>(object))) >= kSmallestPooled;
}

// NumPy's own call, with result memory from the pool when the first argument is large.
PyObject* pooled_vectorcall(PyObject* ufunc, PyObject* const* args, std::size_t nargsf, PyObject* kwnames) {
  if (PyVectorcall_NARGS(nargsf) == 0 || !is_large(args[0])) return numpy_vectorcall(ufunc, args, nargsf, kwnames);
  PooledAllocation pooled;
  return numpy_vectorcall(ufunc, args, nargsf, kwnames);
}

// f(x) of a plain array of one dimension or more; a ufunc of none returns a scalar, which is NumPy's business.
PyObject* elementwise_vectorcall(PyObject* ufunc, PyObject* const* args, std::size_t nargsf, PyObject* kwnames) {
  const Type type = PyVectorcall_NARGS(nargsf) == 1 && kwnames == nullptr ? plain_type(args[0]) : kTypes;
  if (type == kTypes || PyArray_NDIM(reinterpret_cast<PyArrayObject*>(args[0])) == 0)
    return pooled_vectorcall(ufunc, args, nargsf, kwnames);
  void* loop = reinterpret_cast<PyUFuncObject*>(ufunc)->data[0];
  return elementwise_directly(*static_cast<ElementwiseLoop*>(loop)->function, type, reinterpret_cast<PyArrayObject*>(args[0]));
}

// What a ufunc points to for as long as the process lives.
struct Registration {
  static constexpr int kMost = 16;
  PyUFuncGenericFunction functions[kMost];
  void* data[kMost];
  char types[kMost * kMostOperands];
  char signature[128];
  int loops = 0, operands = 0;

  void add(PyUFuncGenericFunction function, void* loop, const int* numbers, int count) {
    functions[loops] = function;
    data[loops++] = loop;
    for (int k = 0; k < count; ++k) types[operands++] = static_cast<char>(numbers[k]);
  }
};

template <class Loop>
void* kept(Loop loop) {
  return new (std::nothrow) Loop(loop);
}

bool add_object(PyObject* module, const char* name, PyObject* object) {
  const int status = object == nullptr ? -1 : PyModule_AddObjectRef(module, name, object);
  Py_XDECREF(object);
  return status == 0;
}

bool add_ufunc(PyObject* module, Registration* r, int inputs, int outputs, const char* name, const char* signature) {
  for (int k = 0; k < r->loops; ++k)
    if (r->data[k] == nullptr) return PyErr_NoMemory() != nullptr;
  PyObject* object = PyUFunc_FromFuncAndDataAndSignature(r->functions, r->data, r->types, r->loops, inputs, outputs, PyUFunc_None, name,
                                                         nullptr, 0, signature);
  if (object == nullptr) return false;
  PyUFuncObject* ufunc = reinterpret_cast<PyUFuncObject*>(object);
  numpy_vectorcall = ufunc->vectorcall;
  ufunc->vectorcall = signature == nullptr && inputs == 1 ? elementwise_vectorcall : pooled_vectorcall;
  return add_object(module, name, object);
}

// The types of a function's operands for a storage type, in order; how many.
int types_of(const RowsFunction& function, int storage, int* types) {
  for (int k = 0; k < operand_count(function); ++k) types[k] = operand_type(function.operands[k], storage);
  return operand_count(function);
}
int types_of(const ElementwiseFunction& function, int storage, int* types) {
  const int count = 2 + function.has_cotangent;
  std::fill(types, types + count, storage);
  return count;
}
int types_of(const BinaryLossFunction& function, int storage, int* types) {
  const int of[] = {storage, storage, NPY_DOUBLE, NPY_DOUBLE, NPY_DOUBLE, NPY_DOUBLE, NPY_DOUBLE, storage};
  if (function.has_gradient) return static_cast<int>(std::copy(of, of + 8, types) - types);
  return static_cast<int>(std::copy(of, of + 6, types) - types);
}

template <class Loop, class Function>
void add_loops(Registration* r, PyUFuncGenericFunction loop, const Function& function) {
  int types[kMostOperands];
  for (Type type : {kFloat16, kFloat32, kFloat64}) {
    const int count = types_of(function, type_number(type), types);
    r->add(loop, kept(Loop{&function, type}), types, count);
  }
}

bool add(PyObject* module, const RowsFunction& function) {
  Registration* r = new (std::nothrow) Registration;
  if (r == nullptr) return PyErr_NoMemory() != nullptr;
  add_loops<RowsLoop>(r, rows_loop, function);
  std::strcpy(r->signature, Signature(function).text);
  return add_ufunc(module, r, function.inputs, function.outputs, function.name, r->signature);
}
bool add(PyObject* module, const ElementwiseFunction& function) {
  Registration* r = new (std::nothrow) Registration;
  if (r == nullptr) return PyErr_NoMemory() != nullptr;
  if (!function.has_cotangent)
    for (const IntegerType& integer : integer_types) {
      const int types[] = {integer.type, NPY_DOUBLE};
      r->add(integer.loop, kept(ElementwiseLoop{&function, kFloat64}), types, 2);
    }
  add_loops<ElementwiseLoop>(r, elementwise_loop, function);
  return add_ufunc(module, r, 1 + function.has_cotangent, 1, function.name, nullptr);
}
bool add(PyObject* module, const BinaryLossFunction& function) {
  Registration* r = new (std::nothrow) Registration;
  if (r == nullptr) return PyErr_NoMemory() != nullptr;
  add_loops<BinaryLossLoop>(r, binary_loss_loop, function);
  return add_ufunc(module, r, 5 + function.has_gradient, 1 + function.has_gradient, function.name, nullptr);
}

template <class Loop, class Function>
bool add_bfloat16(PyObject* module, int number, PyUFuncGenericFunction loop, const Function& function) {
  PyObject* ufunc = PyObject_GetAttrString(module, function.name);
  if (ufunc == nullptr) return false;
  int types[kMostOperands];
  types_of(function, number, types);
  void* data = kept(Loop{&function, kBFloat16});
  const int status = data == nullptr ? -1 : PyUFunc_RegisterLoopForType(reinterpret_cast<PyUFuncObject*>(ufunc), number, loop, types, data);
  Py_DECREF(ufunc);
  return status == 0;
}

// Calls body(function) for all functions until one fails.
template <class Body>
bool for_all_functions(Body body) {
  const ElementFunctions& elements = *kernels->elements;
  bool good = true;
  for (int k = 0; good && k < elements.elementwise_count; ++k) good = body(elements.elementwise[k]);
  for (int k = 0; good && k < elements.binary_loss_count; ++k) good = body(elements.binary_loss[k]);
  for (int k = 0; good && k < rows_function_count(); ++k) good = body(rows_function(k));
  return good;
}

// {name: number} for the direct calls.
template <class NameOf>
PyObject* numbered(int count, NameOf name_of) {
  PyObject* numbers = PyDict_New();
  for (int k = 0; numbers != nullptr && k < count; ++k) {
    PyObject* number = PyLong_FromLong(k);
    if (number == nullptr || PyDict_SetItemString(numbers, name_of(k), number) < 0) Py_CLEAR(numbers);
    Py_XDECREF(number);
  }
  return numbers;
}

}  // namespace

bool add_ufuncs(PyObject* module) {
  return for_all_functions([&](const auto& function) { return add(module, function); }) &&
         add_object(module, "rows_functions", numbered(rows_function_count(), [](int k) { return rows_function(k).name; })) &&
         add_object(module, "binary_loss_functions", numbered(kernels->elements->binary_loss_count, [](int k) { return kernels->elements->binary_loss[k].name; }));
}

bool register_bfloat16(PyObject* module, int number) {
  struct Adder {
    PyObject* module;
    int number;
    bool operator()(const ElementwiseFunction& f) const { return add_bfloat16<ElementwiseLoop>(module, number, elementwise_loop, f); }
    bool operator()(const BinaryLossFunction& f) const { return add_bfloat16<BinaryLossLoop>(module, number, binary_loss_loop, f); }
    bool operator()(const RowsFunction& f) const { return add_bfloat16<RowsLoop>(module, number, rows_loop, f); }
  };
  if (!for_all_functions(Adder{module, number})) return false;
  bfloat16_number = number;
  return true;
}

}  // namespace sigmax
