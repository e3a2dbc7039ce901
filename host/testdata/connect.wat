;; Connects to the endpoint that it receives, and answers with numbers of 32 bits:
;; what connect returned, then 2000 when the connection is made, or 1000 and the
;; reason when it is not.
(module
  (import "transport" "write" (func $write (param i32 i32 i32) (result i32)))
  (import "transport" "state" (func $state (param i32) (result i32)))
  (import "reactor" "connect" (func $connect (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $who (mut i32) (i32.const 0))
  (func $say (param $n i32)
    (i32.store (i32.const 0) (local.get $n))
    (drop (call $write (global.get $who) (i32.const 0) (i32.const 4))))
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func (export "connectionMade") (param $conn i32)
    (if (i32.and (call $state (local.get $conn)) (i32.const 64))
      (then (call $say (i32.const 2000)))
      (else (global.set $who (local.get $conn)))))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32)
    (call $say (call $connect (local.get $ptr) (local.get $len) (i32.const 60000))))
  (func (export "connectionLost") (param i32 i32))
  (func (export "clientConnectionFailed") (param $conn i32) (param $reason i32)
    (call $say (i32.add (i32.const 1000) (local.get $reason)))))
