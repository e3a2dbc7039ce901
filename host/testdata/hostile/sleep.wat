;; Waits for a clock.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func (export "connectionMade") (param $conn i32))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32) (i64.store (i32.const 24) (i64.const 1000001))
    (drop (call $poll (i32.const 0) (i32.const 256) (i32.const 1) (i32.const 512))))
  (func (export "connectionLost") (param $conn i32) (param $reason i32)))
