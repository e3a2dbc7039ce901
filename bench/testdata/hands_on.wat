;; Hands each connection over to the plugin "other" when bytes come, with those.
(module
  (import "transport" "handOver" (func $handOver (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "other")
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func (export "connectionMade") (param $conn i32))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32)
    (drop (call $handOver (local.get $conn) (i32.const 16) (i32.const 5) (local.get $ptr) (local.get $len))))
  (func (export "readConnectionLost") (param $conn i32))
  (func (export "connectionLost") (param $conn i32) (param $reason i32)))
