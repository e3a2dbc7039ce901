;; Writes 64 KiB of newlines to stdout, again and again: lines without a byte.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 3)
  (data (i32.const 0) "\00\00\01\00\00\00\01\00") ;; 64 KiB at 64 KiB
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func (export "connectionMade") (param i32))
  (func (export "dataReceived") (param i32 i32 i32)
    (memory.fill (i32.const 65536) (i32.const 10) (i32.const 65536))
    (loop $again
      (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
      (br $again)))
  (func (export "connectionLost") (param i32 i32)))
