;; Traps where it is told of a datagram socket's end. The state of each sixth handle, 1, 7
;; and so on, does not move; that of the others does.
(module
  (memory (export "memory") 2)
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0001_0000))
  (func (export "datagramsReceived") (param i32 i32 i32))
  (func (export "stopProtocol") (param i32 i32) (unreachable))
  (func (export "saveState") (param $sock i32) (result i64)
    (if (result i64) (i32.eq (i32.rem_u (local.get $sock) (i32.const 6)) (i32.const 1))
      (then (i64.const -1)) (else (i64.const 0))))
  (func (export "restoreState") (param i32 i32 i32 i32) (result i32) (i32.const 0)))
