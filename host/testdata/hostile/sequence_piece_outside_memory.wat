;; Writes a sequence with a piece that ends behind memory.
(module
  (import "transport" "writeSequence" (func $ws (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func (export "connectionMade") (param $conn i32))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32) (i64.store (i32.const 0) (i64.const 0x7fffffff_00000000))
    (drop (call $ws (local.get $conn) (i32.const 0) (i32.const 1))))
  (func (export "connectionLost") (param $conn i32) (param $reason i32)))
