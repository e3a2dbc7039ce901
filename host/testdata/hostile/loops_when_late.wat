;; Asks the wall clock in its start section, in _initialize and in startFactory,
;; and never returns from the first, second or third of them where that is 1, 2 or
;; 3 s past the epoch. Traps at a byte x, and writes back all others.
(module
  (import "transport" "write" (func $write (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "abi_version_1"))
  (func $unless_late (param $when i64)
    (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 8)))
    (if (i64.eq (i64.div_u (i64.load (i32.const 8)) (i64.const 1000000000)) (local.get $when))
      (then (loop $l (br $l)))))
  (func $start (call $unless_late (i64.const 1)))
  (start $start)
  (func (export "_initialize") (call $unless_late (i64.const 2)))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func (export "startFactory") (result i32) (call $unless_late (i64.const 3)) (i32.const 0))
  (func (export "connectionMade") (param $conn i32))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32)
    (if (i32.eq (i32.load8_u (local.get $ptr)) (i32.const 0x78)) (then unreachable))
    (drop (call $write (local.get $conn) (local.get $ptr) (local.get $len))))
  (func (export "connectionLost") (param $conn i32) (param $reason i32)))
