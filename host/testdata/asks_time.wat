;; Answers each piece with the time, as seconds since 1970 in four bytes, little endian.
(module
  (import "transport" "write" (func $write (param i32 i32 i32) (result i32)))
  (import "reactor" "time" (func $time (result f64)))
  (memory (export "memory") 1)
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func (export "connectionMade") (param $conn i32))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32)
    (i32.store (i32.const 0) (i32.trunc_f64_u (call $time)))
    (drop (call $write (local.get $conn) (i32.const 0) (i32.const 4))))
  (func (export "connectionLost") (param $conn i32) (param $reason i32)))
