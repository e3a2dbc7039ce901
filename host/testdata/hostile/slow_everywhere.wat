;; Takes 8 ms for each callback but dataReceived, which does what the first byte
;; says: t makes 64 timers, a aborts all connections, p registers a pull producer,
;; s is slow itself. State is saved and restored as slowly.
(module
  (import "reactor" "callLater" (func $callLater (param i32) (result i32)))
  (import "reactor" "seconds" (func $seconds (result f64)))
  (import "transport" "abortConnection" (func $abort (param i32) (result i32)))
  (import "transport" "registerProducer" (func $register (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func $slow (local $until f64)
    (local.set $until (f64.add (call $seconds) (f64.const 0.008)))
    (loop $l (br_if $l (f64.lt (call $seconds) (local.get $until)))))
  (func (export "connectionMade") (param $conn i32))
  (func (export "dataReceived") (param $conn i32) (param $ptr i32) (param $len i32) (local $n i32)
    (local.set $n (i32.load8_u (local.get $ptr)))
    (if (i32.eq (local.get $n) (i32.const 0x73)) (then (call $slow)))
    (if (i32.eq (local.get $n) (i32.const 0x70)) (then (drop (call $register (local.get $conn) (i32.const 0)))))
    (if (i32.eq (local.get $n) (i32.const 0x74)) (then
      (local.set $n (i32.const 64))
      (loop $l
        (drop (call $callLater (i32.const 0)))
        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
    (if (i32.eq (local.get $n) (i32.const 0x61)) (then
      (local.set $n (i32.const 1000))
      (loop $l
        (drop (call $abort (local.get $n)))
        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))))
  (func (export "connectionLost") (param $conn i32) (param $reason i32) (call $slow))
  (func (export "delayedCall") (param $timer i32) (call $slow))
  (func (export "pauseProducing") (param $conn i32))
  (func (export "resumeProducing") (param $conn i32) (call $slow))
  (func (export "stopProducing") (param $conn i32) (call $slow))
  (func (export "stopFactory") (call $slow))
  (func (export "saveState") (param $conn i32) (result i64) (call $slow) (i64.const 0))
  (func (export "restoreState") (param $conn i32) (param $version i32) (param $ptr i32) (param $len i32) (result i32)
    (call $slow) (i32.const 0)))
