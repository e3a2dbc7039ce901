;; Returns 0 from restoreBuffer.
(module
  (memory (export "memory") 1)
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_0002))
  (func (export "connectionMade") (param $conn i32))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32))
  (func (export "connectionLost") (param $conn i32) (param $reason i32))
  (func (export "saveState") (param $conn i32) (result i64) (i64.const 0))
  (func (export "restoreState") (param $conn i32) (param $version i32) (param $ptr i32) (param $len i32) (result i32) (i32.const 0))
  (func (export "restoreBuffer") (param $len i32) (result i32) (i32.const 0)))
