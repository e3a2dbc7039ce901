;; Logs empty messages without end.
(module
  (import "log" "emit" (func $emit (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func (export "connectionMade") (param i32))
  (func (export "dataReceived") (param i32 i32 i32)
    (loop $again
      (drop (call $emit (i32.const 4) (i32.const 0) (i32.const 0)))
      (br $again)))
  (func (export "connectionLost") (param i32 i32)))
