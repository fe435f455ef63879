// NumPy's C functions, in one table that module.cpp fills.
#pragma once

#include <Python.h>

#define PY_UFUNC_UNIQUE_SYMBOL sigmax_ufunc_api
#ifndef SIGMAX_IMPORTS_NUMPY
#define NO_IMPORT_ARRAY
#define NO_IMPORT_UFUNC
#endif
#include <numpy/arrayobject.h>
#include <numpy/arrayscalars.h>
#include <numpy/ufuncobject.h>
