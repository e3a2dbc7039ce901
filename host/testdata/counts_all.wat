;; Answers what it is sent with one digit: how many connections it has had, as if
;; there were one instance.
(module
  (import "transport" "write" (func $write (param i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_0400))
  (func (export "connectionMade") (param i32)
    (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1))))
  (func (export "dataReceived") (param $conn i32) (param i32 i32)
    (i32.store8 (i32.const 4) (i32.add (i32.load (i32.const 0)) (i32.const 48)))
    (drop (call $write (local.get $conn) (i32.const 4) (i32.const 1))))
  (func (export "connectionLost") (param i32 i32)))
