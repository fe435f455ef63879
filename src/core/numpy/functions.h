// The functions of the level in use, as NumPy sees them.
#pragma once

#include "../calls.h"
#include "numpy.h"

namespace sigmax {

extern const Kernels* kernels;  // those of the level in use

// Functions along an axis by number: families one after the other.
int rows_function_count();
const RowsFunction& rows_function(int number);

// ml_dtypes.bfloat16, once it is registered; else NPY_NOTYPE.
extern int bfloat16_number;
int type_number(Type type);
// kTypes for what is none of ours.
Type storage_type(PyArrayObject* array);

// What an operand has: a number per class or one per row, and its type.
enum Extent { kPerClass, kPerRow, kPerClassOrOne };
Extent extent_of(Name name);
int operand_type(Name name, int storage);

// An operand that stands for none, by a stride of 0.
Operand absent(Name name);

// One number, wherever it is needed.
template <class Number>
Operand shared(Number* number) {
  return {reinterpret_cast<char*>(number), 0, 0};
}

// Null, with an exception: what a callback has raised, else that there is not enough memory.
inline PyObject* no_memory() { return PyErr_Occurred() ? nullptr : PyErr_NoMemory(); }

// Adds the ufuncs to the module. False with an exception set.
bool add_ufuncs(PyObject* module);
// The same loops for ml_dtypes.bfloat16.
bool register_bfloat16(PyObject* module, int number);

// Methods of the module that go to a kernel without NumPy's machinery: see direct.cpp.
PyObject* py_direct(PyObject*, PyObject* const* args, Py_ssize_t count);
PyObject* py_binary_loss_sum(PyObject*, PyObject* const* args, Py_ssize_t count);
PyObject* py_class_indices(PyObject*, PyObject* const* args, Py_ssize_t count);
PyObject* py_in_unit_interval(PyObject*, PyObject* object);
PyObject* py_total(PyObject*, PyObject* object);
// A loss in one call: see losses.cpp.
PyObject* py_loss(PyObject*, PyObject* const* args, Py_ssize_t count);
PyObject* py_loss_and_gradient(PyObject*, PyObject* const* args, Py_ssize_t count);
// Correct rounding: see rounding.cpp.
PyObject* py_provide_correct_rounding(PyObject*, PyObject* function);
PyObject* py_get_correct_rounding(PyObject*, PyObject*);
PyObject* py_set_correct_rounding(PyObject*, PyObject* on);
// Steps of an evaluation: see evaluation.cpp.
PyObject* py_spans(PyObject*, PyObject* object);
PyObject* py_winners(PyObject*, PyObject* object);
PyObject* py_squared_distances(PyObject*, PyObject* const* args, Py_ssize_t count);
PyObject* py_bin_of(PyObject*, PyObject* const* args, Py_ssize_t count);
PyObject* py_spread_over(PyObject*, PyObject* const* args, Py_ssize_t count);
PyObject* py_sums_by(PyObject*, PyObject* const* args, Py_ssize_t count);
PyObject* py_add_by_class(PyObject*, PyObject* const* args, Py_ssize_t count);
PyObject* py_of_logits(PyObject*, PyObject* const* args, Py_ssize_t count);
PyObject* py_absolute_sums(PyObject*, PyObject* const* args, Py_ssize_t count);
PyObject* py_product(PyObject*, PyObject* const* args, Py_ssize_t count);
// Between PyTorch's tensors and arrays: see tensors.cpp.
PyObject* py_register_tensors(PyObject*, PyObject* args);
PyObject* py_arrays_of_tensors(PyObject*, PyObject* values);
PyObject* py_tensor_of_array(PyObject*, PyObject* object);
PyObject* py_call_with_tensors(PyObject*, PyObject* const* args, Py_ssize_t count);
// An elementwise function, by its kernel or a table: see half_tables.cpp.
void run_elements(const ElementwiseFunction& function, Type type, const ElementwiseCall& call, npy_intp count);
PyObject* elementwise_directly(const ElementwiseFunction& function, Type type, PyArrayObject* x);
// The type of an exact, aligned, C-contiguous ndarray in native byte order, or kTypes.
Type plain_type(PyObject* object);

}  // namespace sigmax
