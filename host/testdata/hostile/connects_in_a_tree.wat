;; Connects twice to itself for each connection, and tells the first one, in numbers of 32
;; bits, what connect returned where that was no handle.
(module
  (import "transport" "write" (func $write (param i32 i32 i32) (result i32)))
  (import "transport" "state" (func $state (param i32) (result i32)))
  (import "reactor" "connect" (func $connect (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $first (mut i32) (i32.const 0))
  (data (i32.const 16) "plugin://guest")
  (func $branch (local $got i32)
    (local.set $got (call $connect (i32.const 16) (i32.const 14) (i32.const 0)))
    (if (i32.lt_s (local.get $got) (i32.const 0)) (then
      (i32.store (i32.const 0) (local.get $got))
      (drop (call $write (global.get $first) (i32.const 0) (i32.const 4))))))
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func (export "connectionMade") (param $conn i32)
    (if (i32.and (call $state (local.get $conn)) (i32.const 64)) (then (return)))
    (if (i32.eqz (global.get $first)) (then (global.set $first (local.get $conn))))
    (call $branch)
    (call $branch))
  (func (export "dataReceived") (param i32 i32 i32))
  (func (export "connectionLost") (param i32 i32))
  (func (export "clientConnectionFailed") (param i32 i32)))
