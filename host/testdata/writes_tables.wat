;; Changes all that can't be read from outside: a table, its segments, a vector. It
;; answers with a digit of each: how often it was called, by what the table leads to, and
;; whether a segment is there.
(module
  (import "transport" "write" (func $write (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (type $f (func (result i32)))
  (table $t 2 funcref)
  (elem (table $t) (i32.const 0) func $one $two)
  (elem $passive func $two)
  (data $text "7")
  (global $v (mut v128) (v128.const i32x4 0 0 0 0))
  (func $one (result i32) (i32.const 1))
  (func $two (result i32) (i32.const 2))
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func (export "connectionMade") (param $conn i32))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32)
    (global.set $v (i32x4.add (global.get $v) (v128.const i32x4 1 0 0 0)))
    (i32.store8 (i32.const 0) (i32.add (i32.const 48) (i32x4.extract_lane 0 (global.get $v))))
    (i32.store8 (i32.const 1) (i32.add (i32.const 48) (call_indirect $t (type $f) (i32.const 0))))
    (if (i32.eq (i32.load8_u (i32.const 0)) (i32.const 49)) (then
      (table.set $t (i32.const 0) (table.get $t (i32.const 1)))
      (elem.drop $passive)
      (memory.init $text (i32.const 2) (i32.const 0) (i32.const 1))
      (data.drop $text)))
    (drop (call $write (local.get $conn) (i32.const 0) (i32.const 3))))
  (func (export "connectionLost") (param $conn i32) (param $reason i32)))
