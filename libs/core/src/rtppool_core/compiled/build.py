"""Build of a library of machine code, in a builder stage of an image.

numba compiles the functions as in development, and LLVM makes position-independent code of them. The linker is `ld` of
Debian's package `binutils`. The code calls the C library alone: the linker refuses any other name.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm

from rtppool_core.compiled.compiler import EntryPoints
from rtppool_core.compiled.library import STAMP_NAME
from rtppool_core.compiled.sources import Sources, source_stamp

LINKER = ("ld", "-shared", "--no-undefined", "-z", "relro", "-z", "now", "--strip-all")
C_LIBRARY = "-l:libc.so.6"


class BuildError(Exception):
    """The library cannot be linked; the message says why."""


def build(file: Path, functions: EntryPoints, sources: Sources) -> None:
    """Compile and link a library of these functions.

    Raises:
        BuildError: there is no linker, or it refuses the code.
    """
    with tempfile.TemporaryDirectory() as folder:
        compiled = Path(folder, "machine_code.o")
        compiled.write_bytes(_emit_object(_compile_module(functions, source_stamp(sources))))
        try:
            command = [*LINKER, "-o", str(file), str(compiled), C_LIBRARY]
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 our own command
        except FileNotFoundError as missing:
            raise BuildError("no linker (ld); install one, for example: apt-get install binutils") from missing
        if done.returncode != 0:
            raise BuildError(f"ld refuses the machine code:\n{done.stderr.strip()}")


def build_by_command(default: Path, functions: EntryPoints, sources: Sources) -> int:
    """Build the library in the file of the command line, or else in `default`. Print its size; return the exit code."""
    parser = argparse.ArgumentParser(description="Build a library of machine code.")
    parser.add_argument("file", nargs="?", type=Path, default=default)
    file = parser.parse_args().file
    started = time.monotonic()
    try:
        build(file, functions, sources)
    except BuildError as error:
        sys.stderr.write(f"build_library: {error}\n")
        return 1
    print(f"machine code: {file.stat().st_size:,} bytes in {file}, in {time.monotonic() - started:.1f} s")  # noqa: T201
    return 0


def _compile_module(functions: EntryPoints, stamp: int) -> Any:
    """Return all functions as one LLVM module that exports them and the stamp, and nothing else."""
    module = llvm.parse_assembly(f"@{STAMP_NAME} = constant i64 {stamp}")
    for name, (function, signature) in functions.items():
        function.compile(signature)
        compiled = function.overloads[signature]
        part = llvm.parse_assembly(compiled.library.get_llvm_str())
        part.get_function(compiled.fndesc.llvm_func_name).name = name
        module.link_in(part)
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration and value.name not in {*functions, STAMP_NAME}:
            value.linkage = "internal"
    return module


def _emit_object(module: Any) -> bytes:
    """Return the machine code for any CPU of this architecture, without numba's wrappers for Python."""
    machine = llvm.Target.from_default_triple().create_target_machine(cpu="generic", features="", opt=3, reloc="pic")
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
    return bytes(machine.emit_object(module))
