;; Keeps, at 0, what instanceMade gave it, 32 bytes that it then asked WASI for and 32
;; that it asked the reactor for, and at 96 32 bytes that its start drew; at 128 where the
;; first lay. It refuses to start where it was told of twice, or not at all.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $wasi (param i32 i32) (result i32)))
  (import "reactor" "random" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $told (mut i32) (i32.const 0))
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func (export "_initialize") (drop (call $random (i32.const 96) (i32.const 32))))
  (func (export "instanceMade") (param $ptr i32) (param $len i32)
    (global.set $told (i32.add (global.get $told) (i32.const 1)))
    (memory.copy (i32.const 0) (local.get $ptr) (local.get $len))
    (drop (call $wasi (i32.const 32) (i32.const 32)))
    (drop (call $random (i32.const 64) (i32.const 32)))
    (i32.store (i32.const 128) (local.get $ptr))
    (i32.store (i32.const 132) (local.get $len)))
  (func (export "startFactory") (result i32) (i32.ne (global.get $told) (i32.const 1)))
  (func (export "connectionMade") (param $conn i32))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32))
  (func (export "connectionLost") (param $conn i32) (param $reason i32)))
