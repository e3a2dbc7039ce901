;; Asks for random bytes behind memory.
(module
  (import "reactor" "random" (func $p (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func (export "connectionMade") (param $conn i32))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32) (drop (call $p (i32.const 65535) (i32.const 2))))
  (func (export "connectionLost") (param $conn i32) (param $reason i32)))
