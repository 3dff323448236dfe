#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the launcher and an assembler file that carries its bytes.
#
#   usage: build-launcher.sh OUT_DIR
#
# Writes OUT_DIR/launcher and OUT_DIR/launcher_blob.S, which defines
#   extern "C" const unsigned char wherry_launcher_blob[];
#   extern "C" const size_t wherry_launcher_blob_size;
#
# The compiler is $WHERRY_LAUNCHER_CXX, else $CXX, else g++. A C-only wrapper such as musl-gcc works as well: the
# launcher uses no C++ library. WHERRY_LAUNCHER_FLAGS is appended (a cross build, a sanitizer).
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
cxx=${WHERRY_LAUNCHER_CXX:-${CXX:-g++}}
strip=${STRIP:-strip}

# Static, so that nothing of the host or of a container is ever loaded into it; position independent, so that address
# space randomisation covers all of it; no exceptions, run-time types or guarded statics, so that no C++ library is needed.
flags="-O2 -std=c++17 -fPIE -static-pie -fno-exceptions -fno-rtti -fno-threadsafe-statics
  -Wall -Wextra -Werror -fvisibility=hidden -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables
  -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
  -Wl,--gc-sections -Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--build-id=none"

case $cxx in
  *musl-gcc*)
    # musl's wrapper hides the system's headers: the kernel's, and the C++ ones that need no library. They come last.
    machine=$(gcc -dumpmachine)
    flags="-x c++ -nostdinc++ -D__GLIBC_PREREQ(major,minor)=0 $flags"
    for dir in "/usr/include/c++/$(gcc -dumpversion)" "/usr/include/$machine/c++/$(gcc -dumpversion)" \
      /usr/include "/usr/include/$machine"; do
      flags="$flags -idirafter $dir"
    done
    ;;
esac

sources=$(sed -e '/^$/d' -e '/^#/d' -e "s,^,$root/native/," "$root/native/launcher-sources.txt")
# Lists of words on purpose: compilers are written as "ccache g++", flags and sources are many.
# shellcheck disable=SC2086
$cxx $flags -I"$root/native" $sources -o "$out/launcher.tmp" ${WHERRY_LAUNCHER_FLAGS:-}
$strip --strip-all "$out/launcher.tmp"
mv "$out/launcher.tmp" "$out/launcher"

cat > "$out/launcher_blob.S" <<EOF
  .section .rodata
  .balign 16
  .hidden wherry_launcher_blob
  .globl wherry_launcher_blob
  .type wherry_launcher_blob, %object
wherry_launcher_blob:
  .incbin "$out/launcher"
.Lwherry_launcher_end:
  .size wherry_launcher_blob, .Lwherry_launcher_end - wherry_launcher_blob
  .balign 8
  .hidden wherry_launcher_blob_size
  .globl wherry_launcher_blob_size
  .type wherry_launcher_blob_size, %object
wherry_launcher_blob_size:
  .quad .Lwherry_launcher_end - wherry_launcher_blob
  .size wherry_launcher_blob_size, 8
  .section .note.GNU-stack,"",%progbits
EOF
