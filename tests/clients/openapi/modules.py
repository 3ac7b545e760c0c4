"""Has schemathesis know what is uploaded: bytes, some of which begin as modules of WebAssembly do."""

import schemathesis
from hypothesis import strategies as st

HEAD = b"\0asm\1\0\0\0"

schemathesis.openapi.media_type("application/wasm", st.binary(max_size=64) | st.binary(max_size=64).map(HEAD.__add__))
