;; Hands each connection over to the plugin "other" when bytes come, with those. What handOver
;; returns, where that is not 0, the peer gets as 32 bits. Behind a "!" it traps in the same
;; callback; bytes that begin with a "." are nothing to it.
(module
  (import "transport" "write" (func $write (param i32 i32 i32) (result i32)))
  (import "transport" "handOver" (func $handOver (param i32 i32 i32 i32 i32) (result i32)))
  (import "log" "emit" (func $emit (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "other")
  (data (i32.const 32) "lost 12")
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func (export "connectionMade") (param $conn i32))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32)
    (local $status i32)
    (if (i32.eq (i32.load8_u (local.get $ptr)) (i32.const 46)) (then (return)))
    (local.set $status
      (call $handOver (local.get $conn) (i32.const 16) (i32.const 5) (local.get $ptr) (local.get $len)))
    (if (i32.eq (i32.load8_u (local.get $ptr)) (i32.const 33)) (then unreachable))
    (if (local.get $status)
      (then
        (i32.store (i32.const 0) (local.get $status))
        (drop (call $write (local.get $conn) (i32.const 0) (i32.const 4))))))
  (func (export "readConnectionLost") (param $conn i32))
  (func (export "connectionLost") (param $conn i32) (param $reason i32)
    (if (i32.eq (local.get $reason) (i32.const 12))
      (then (drop (call $emit (i32.const 2) (i32.const 32) (i32.const 7)))))))
