;; Its start keeps 8 random bytes, logs, and traps by chance, every second time.
(module
  (import "log" "emit" (func $log (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "started")
  (func $start
    (drop (call $random (i32.const 0) (i32.const 9)))
    (if (i32.and (i32.load8_u (i32.const 8)) (i32.const 1)) (then (unreachable)))
    (drop (call $log (i32.const 2) (i32.const 64) (i32.const 7))))
  (start $start)
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func (export "connectionMade") (param $conn i32))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32))
  (func (export "connectionLost") (param $conn i32) (param $reason i32)))
