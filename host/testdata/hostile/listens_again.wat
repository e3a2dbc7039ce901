;; Listens, and again, in each turn of its loop.
(module
  (import "reactor" "listen" (func $listen (param i32 i32) (result i32)))
  (import "reactor" "callLater" (func $later (param i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "tcp://127.0.0.1:0")
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_1000))
  (func (export "connectionMade") (param i32) (drop (call $later (i32.const 0))))
  (func (export "dataReceived") (param i32 i32 i32))
  (func (export "connectionLost") (param i32 i32))
  (func (export "delayedCall") (param i32)
    (drop (call $listen (i32.const 16) (i32.const 17)))
    (drop (call $later (i32.const 0)))))
