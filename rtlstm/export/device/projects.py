"""A folder to start from, for the tools that programs for chips are built with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rtlstm.export.device.archive import archive
from rtlstm.export.device.request import Program

C_LOOP = """    static float x[{U}_INPUTS], y[{U}_OUTPUTS];
    {name}_step({also}x, y);
"""
LEARN_LOOP = """    static float x[{U}_INPUTS], target[{U}_OUTPUTS], y[{U}_OUTPUTS];
    {name}_learn({also}x, target, y);
"""
ROW_LOOP = """    static double row[{U}_COLUMNS], y[3 * {U}_HORIZONS * {U}_TARGETS];
    {name}_update({also}row, 0.0 / 0.0, 1, y);
"""
LOOPS = {"network": C_LOOP, "learner": LEARN_LOOP}
MAIN = """#include <stdio.h>
#include "{name}.h"

{room}int main(void) {{
    {name}_init({own});
{loop}    printf("%d\\n", (int)(1000 * y[0]));
    return 0;
}}
"""
ARDUINO = """#include <{name}.h>

{room}void setup() {{
    Serial.begin(115200);
    {name}_init({own});
}}

void loop() {{
{loop}    Serial.println(y[0]);
    delay(100);
}}
"""
# Where the Arduino tools look for a library: the processor, then the floating-point unit.
FOLDERS = {
    "cortex-m4": "cortex-m4/fpv4-sp-d16-hard",
    "cortex-m7": "cortex-m7/fpv5-sp-d16-hard",
    "cortex-m33": "cortex-m33/fpv5-sp-d16-hard",
}
PROJECTS: dict[str, dict[str, str]] = {
    "cmake": {
        "CMakeLists.txt": """cmake_minimum_required(VERSION 3.13)
project({name}_example C)
add_library({name} STATIC IMPORTED)
set_target_properties({name} PROPERTIES
  IMPORTED_LOCATION ${{CMAKE_CURRENT_SOURCE_DIR}}/lib{name}.a
  INTERFACE_INCLUDE_DIRECTORIES ${{CMAKE_CURRENT_SOURCE_DIR}})
add_executable({name}_example main.c)
target_link_libraries({name}_example {name} m)
add_executable({name}_selftest {name}_selftest.c)
target_link_libraries({name}_selftest {name} m)
""",
        "main.c": MAIN,
    },
    "zephyr": {
        "CMakeLists.txt": """cmake_minimum_required(VERSION 3.20)
find_package(Zephyr REQUIRED HINTS $ENV{{ZEPHYR_BASE}})
project({name}_example C)
zephyr_library_import({name} ${{CMAKE_CURRENT_SOURCE_DIR}}/lib{name}.a)
zephyr_include_directories(.)
target_sources(app PRIVATE main.c)
target_link_libraries(app PUBLIC {name})
""",
        "prj.conf": "CONFIG_FPU=y\nCONFIG_MAIN_STACK_SIZE=4096\n",
        "main.c": MAIN,
    },
    "esp-idf": {
        "CMakeLists.txt": """cmake_minimum_required(VERSION 3.16)
include($ENV{{IDF_PATH}}/tools/cmake/project.cmake)
project({name}_example)
""",
        "main/CMakeLists.txt": """idf_component_register(SRCS main.c INCLUDE_DIRS ..)
add_prebuilt_library({name} ${{CMAKE_CURRENT_LIST_DIR}}/../lib{name}.a)
target_link_libraries(${{COMPONENT_LIB}} PRIVATE {name})
""",
        "main/main.c": MAIN.replace("int main(void)", "void app_main(void)").replace(
            "    return 0;\n", ""
        ),
    },
    "arduino": {
        "library.properties": """name={name}
version=1.0.0
author=rtlstm
maintainer=rtlstm
sentence=A {kind} made by rtlstm build
paragraph=Works in place, without a heap.
category=Data Processing
url=
architectures=*
includes={name}.h
precompiled=full
ldflags=-l{name}
""",
        "examples/{name}_example/{name}_example.ino": ARDUINO,
    },
}


def write(
    project: str, program: Program, room: Path, name: str, target: Sequence[str], made: bytes
) -> None:
    """Write the files of a project around NAME.h, and libNAME.a where its tools look for it."""
    own, also = ("&own", "&own, ") if program.owned else ("", "")
    struct = f"static {name}_t own;\n\n" if program.owned else ""
    loop = LOOPS.get(program.kind, ROW_LOOP).format(name=name, U=name.upper(), also=also)
    given = {"name": name, "loop": loop, "kind": program.kind, "own": own, "room": struct}
    for path, text in PROJECTS[project].items():
        place = room / path.format(name=name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text.format(**given))
    defined = [f"{name}_{key}" for key in (*(() if program.owned else program.buffers), "init")]
    defined += [f"{name}_{function.name}" for function in program.functions]
    place = room
    if project == "arduino":
        place = room / "src" / FOLDERS.get(target[1], target[1])
        place.mkdir(parents=True, exist_ok=True)
        (room / f"{name}.h").rename(room / "src" / f"{name}.h")
    (place / f"lib{name}.a").write_bytes(archive(f"{name}.o", made, defined))
