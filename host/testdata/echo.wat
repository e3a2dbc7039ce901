;; Writes back every byte: the bare ABI.
(module
  (import "transport" "write" (func $write (param i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0001_0000)) ;; 64 KiB at 1024
  (func (export "connectionMade") (param i32))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32)
    (drop (call $write (local.get $conn) (local.get $ptr) (local.get $len))))
  (func (export "connectionLost") (param i32 i32)))
