;; Writes 2000 bytes in restoreState, and refuses the state where they are not
;; held, or, on a connection that is closing, not dropped. A byte makes it write
;; 200 KiB, and close.
(module
  (import "transport" "write" (func $write (param i32 i32 i32) (result i32)))
  (import "transport" "state" (func $state (param i32) (result i32)))
  (import "transport" "loseConnection" (func $lose (param i32) (result i32)))
  (memory (export "memory") 8)
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func (export "connectionMade") (param $conn i32))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32)
    (drop (call $write (local.get $conn) (i32.const 0x10000) (i32.const 204800)))
    (drop (call $lose (local.get $conn))))
  (func (export "connectionLost") (param $conn i32) (param $reason i32))
  (func (export "saveState") (param $conn i32) (result i64) (i64.const 0))
  (func (export "restoreState") (param $conn i32) (param $version i32) (param $ptr i32) (param $len i32) (result i32)
    (local $held i32)
    (if (i32.eqz (local.get $conn)) (then (return (i32.const 0))))
    (local.set $held (call $write (local.get $conn) (i32.const 0x10000) (i32.const 2000)))
    (if (i32.and (call $state (local.get $conn)) (i32.const 8)) (then (return (local.get $held))))
    (i32.sub (local.get $held) (i32.const 2000))))
