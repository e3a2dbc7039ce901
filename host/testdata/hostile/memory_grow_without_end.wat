;; Asks for more memory than there may be, without end: each refusal is a line of the host's.
(module
  (memory (export "memory") 1)
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func (export "connectionMade") (param i32))
  (func (export "dataReceived") (param i32 i32 i32)
    (loop $again
      (drop (memory.grow (i32.const 65000)))
      (br $again)))
  (func (export "connectionLost") (param i32 i32)))
