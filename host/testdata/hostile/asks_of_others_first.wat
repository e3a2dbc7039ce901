;; In buildProtocol, asks for the connection before, then for the new one, and
;; refuses the new one where it is not known any more.
(module
  (import "transport" "state" (func $state (param i32) (result i32)))
  (import "transport" "write" (func $write (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $before (mut i32) (i32.const 0))
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func (export "buildProtocol") (param $conn i32) (result i32)
    (drop (call $state (global.get $before)))
    (global.set $before (local.get $conn))
    (call $state (local.get $conn)))
  (func (export "connectionMade") (param $conn i32))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32)
    (drop (call $write (local.get $conn) (local.get $ptr) (local.get $len))))
  (func (export "connectionLost") (param $conn i32) (param $reason i32)))
