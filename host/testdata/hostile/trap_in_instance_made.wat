;; Traps in instanceMade.
(module
  (memory (export "memory") 1)
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func (export "instanceMade") (param $ptr i32) (param $len i32) (unreachable))
  (func (export "connectionMade") (param $conn i32))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32))
  (func (export "connectionLost") (param $conn i32) (param $reason i32)))
