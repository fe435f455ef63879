// The module: which level runs, threads, memory, and the functions of the other files.
#define SIGMAX_IMPORTS_NUMPY
#include "../runtime/dispatch.h"

#include <cstdlib>
#include <cstring>

#include "../runtime/float_environment.h"
#include "../runtime/threads.h"
#include "functions.h"
#include "memory.h"

namespace sigmax {
namespace {

// set_float_environment(control): the control word of this thread's arithmetic; returns the one before.
PyObject* py_set_float_environment(PyObject*, PyObject* control) {
  const unsigned long long word = PyLong_AsUnsignedLongLong(control);
  if (word == static_cast<unsigned long long>(-1) && PyErr_Occurred()) return nullptr;
  return PyLong_FromUnsignedLongLong(set_float_environment(word));
}

PyObject* py_get_num_threads(PyObject*, PyObject*) { return PyLong_FromLong(get_num_threads()); }

PyObject* py_set_num_threads(PyObject*, PyObject* arg) {
  const long count = PyLong_AsLong(arg);
  if (count == -1 && PyErr_Occurred()) return nullptr;
  set_num_threads(static_cast<int>(count));
  Py_RETURN_NONE;
}

PyObject* py_release_memory(PyObject*, PyObject*) { return PyLong_FromSize_t(memory_release()); }

// empty_like(array): like NumPy's, with memory from the pool.
PyObject* py_empty_like(PyObject*, PyObject* prototype) {
  if (!PyArray_Check(prototype)) return PyErr_Format(PyExc_TypeError, "prototype must be an ndarray");
  PooledAllocation pooled;
  return PyArray_NewLikeArray(reinterpret_cast<PyArrayObject*>(prototype), NPY_KEEPORDER, nullptr, 0);
}

PyObject* py_level(PyObject*, PyObject*) { return PyUnicode_FromString(kernels->elements->level); }

PyObject* py_levels(PyObject*, PyObject*) {
  PyObject* list = PyList_New(0);
  for (const Kernels* level : available_kernels()) {
    PyObject* name = PyUnicode_FromString(level->elements->level);
    if (list == nullptr || name == nullptr || PyList_Append(list, name) < 0) Py_CLEAR(list);
    Py_XDECREF(name);
    if (list == nullptr) return nullptr;
  }
  return list;
}

// set_doc(ufunc, text): the text lives as long as the ufunc, that is for ever.
PyObject* py_set_doc(PyObject*, PyObject* args) {
  PyObject* ufunc;
  const char* text;
  if (!PyArg_ParseTuple(args, "O!s", &PyUFunc_Type, &ufunc, &text)) return nullptr;
  char* copy = strdup(text);
  if (copy == nullptr) return PyErr_NoMemory();
  reinterpret_cast<PyUFuncObject*>(ufunc)->doc = copy;
  Py_RETURN_NONE;
}

// register_bfloat16(module, type_number)
PyObject* py_register_bfloat16(PyObject*, PyObject* args) {
  PyObject* module;
  int number;
  if (!PyArg_ParseTuple(args, "Oi", &module, &number) || !register_bfloat16(module, number)) return nullptr;
  Py_RETURN_NONE;
}

template <class Function>
PyCFunction as_method(Function* function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef methods[] = {
    {"set_float_environment", py_set_float_environment, METH_O, nullptr},
    {"get_num_threads", py_get_num_threads, METH_NOARGS, nullptr},
    {"set_num_threads", py_set_num_threads, METH_O, nullptr},
    {"provide_correct_rounding", py_provide_correct_rounding, METH_O, nullptr},
    {"get_correct_rounding", py_get_correct_rounding, METH_NOARGS, nullptr},
    {"set_correct_rounding", py_set_correct_rounding, METH_O, nullptr},
    {"release_memory", py_release_memory, METH_NOARGS, nullptr},
    {"empty_like", py_empty_like, METH_O, nullptr},
    {"direct", as_method(py_direct), METH_FASTCALL, nullptr},
    {"binary_loss_sum", as_method(py_binary_loss_sum), METH_FASTCALL, nullptr},
    {"loss", as_method(py_loss), METH_FASTCALL, nullptr},
    {"loss_and_gradient", as_method(py_loss_and_gradient), METH_FASTCALL, nullptr},
    {"spans", py_spans, METH_O, nullptr},
    {"winners", py_winners, METH_O, nullptr},
    {"squared_distances", as_method(py_squared_distances), METH_FASTCALL, nullptr},
    {"bin_of", as_method(py_bin_of), METH_FASTCALL, nullptr},
    {"spread_over", as_method(py_spread_over), METH_FASTCALL, nullptr},
    {"sums_by", as_method(py_sums_by), METH_FASTCALL, nullptr},
    {"add_by_class", as_method(py_add_by_class), METH_FASTCALL, nullptr},
    {"of_logits", as_method(py_of_logits), METH_FASTCALL, nullptr},
    {"absolute_sums", as_method(py_absolute_sums), METH_FASTCALL, nullptr},
    {"product", as_method(py_product), METH_FASTCALL, nullptr},
    {"class_indices", as_method(py_class_indices), METH_FASTCALL, nullptr},
    {"in_unit_interval", py_in_unit_interval, METH_O, nullptr},
    {"total", py_total, METH_O, nullptr},
    {"level", py_level, METH_NOARGS, nullptr},
    {"levels", py_levels, METH_NOARGS, nullptr},
    {"set_doc", py_set_doc, METH_VARARGS, nullptr},
    {"register_tensors", py_register_tensors, METH_VARARGS, nullptr},
    {"arrays_of_tensors", py_arrays_of_tensors, METH_O, nullptr},
    {"tensor_of_array", py_tensor_of_array, METH_O, nullptr},
    {"call_with_tensors", as_method(py_call_with_tensors), METH_FASTCALL, nullptr},
    {"register_bfloat16", py_register_bfloat16, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

bool choose_kernels() {
  const char* wanted = std::getenv("SIGMAX_ISA");
  kernels = select_kernels(wanted != nullptr && *wanted != '\0' ? wanted : nullptr);
  if (kernels != nullptr) return true;
  char names[64] = "";
  for (const Kernels* level : available_kernels()) {
    if (*names != '\0') std::strcat(names, ", ");
    std::strcat(names, level->elements->level);
  }
  PyErr_Format(PyExc_ImportError, "SIGMAX_ISA must be one of the levels this CPU runs (%s), got '%s'", names, wanted);
  return false;
}

int execute(PyObject* module) {
  if (PyArray_ImportNumPyAPI() < 0 || PyUFunc_ImportUFuncAPI() < 0) return -1;
  return choose_kernels() && memory_init() && add_ufuncs(module) &&
                 PyModule_AddIntConstant(module, "default_float_environment", kDefaultFloatEnvironment) == 0
             ? 0
             : -1;
}

PyModuleDef_Slot slots[] = {
    {Py_mod_exec, reinterpret_cast<void*>(execute)},
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, nullptr},
};

PyModuleDef module_definition = {PyModuleDef_HEAD_INIT, "sigmax._core", nullptr, 0, methods, slots, nullptr, nullptr, nullptr};

}  // namespace
}  // namespace sigmax

PyMODINIT_FUNC PyInit__core() { return PyModuleDef_Init(&sigmax::module_definition); }
