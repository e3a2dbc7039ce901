;; Logs 8 MB.
(module
  (import "transport" "write" (func $write (param i32 i32 i32) (result i32)))
  (import "log" "emit" (func $emit (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func (export "connectionMade") (param $conn i32))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32) (local $n i32)
    (loop $l
      (drop (call $emit (i32.const 2) (i32.const 0) (i32.const 8192)))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $l (i32.lt_s (local.get $n) (i32.const 1000))))
    (call $say (local.get $conn) (local.get $n)))
  (func (export "connectionLost") (param $conn i32) (param $reason i32))
  (func $say (param $conn i32) (param $n i32)
      (i32.store (i32.const 0) (local.get $n))
      (drop (call $write (local.get $conn) (i32.const 0) (i32.const 4)))))
