;; Hands the connection that came last over, in the moment that a letter on the first one names,
;; and tells the first one what handOver returned, in 32 bits; of a connection that is handed over
;; to it, it tells 1000 and the number of the first bytes.
(module
  (import "transport" "write" (func $write (param i32 i32 i32) (result i32)))
  (import "transport" "state" (func $state (param i32) (result i32)))
  (import "transport" "loseConnection" (func $lose (param i32) (result i32)))
  (import "transport" "abortConnection" (func $abort (param i32) (result i32)))
  (import "transport" "registerProducer" (func $register (param i32 i32) (result i32)))
  (import "transport" "startTLSClient" (func $tls (param i32 i32 i32) (result i32)))
  (import "transport" "handOver" (func $hand (param i32 i32 i32 i32 i32) (result i32)))
  (import "reactor" "connect" (func $connect (param i32 i32 i32) (result i32)))
  (memory (export "memory") 20)
  (data (i32.const 16) "plugin://other")
  (data (i32.const 32) "guest")
  (data (i32.const 48) "nobody")
  (data (i32.const 64) "secret")
  (data (i32.const 80) "localhost")
  (global $who (mut i32) (i32.const 0))
  (global $conn (mut i32) (i32.const 0))
  (global $built (mut i32) (i32.const 0)) ;; what handOver returned in buildProtocol
  (global $lost (mut i32) (i32.const 0)) ;; connectionLost is to hand over
  (func $say (param $n i32)
    (i32.store (i32.const 0) (local.get $n))
    (drop (call $write (global.get $who) (i32.const 0) (i32.const 4))))
  (func $to (param $name i32) (param $len i32)
    (call $say (call $hand (global.get $conn) (local.get $name) (local.get $len) (i32.const 0x400) (i32.const 2))))
  (func $other (call $to (i32.const 25) (i32.const 5)))
  (func (export "abi_version_1"))
  (func (export "receiveBuffer") (result i64) (i64.const 0x0000_0400_0000_8000))
  (func (export "pauseProducing") (param i32))
  (func (export "resumeProducing") (param i32))
  (func (export "stopProducing") (param i32))
  (func (export "readConnectionLost") (param i32))
  (func (export "clientConnectionFailed") (param i32 i32))
  (func (export "buildProtocol") (param $c i32) (result i32)
    (global.set $built (call $hand (local.get $c) (i32.const 25) (i32.const 5) (i32.const 0) (i32.const 0)))
    (i32.const 0))
  (func (export "connectionMade") (param $c i32)
    (if (i32.eqz (global.get $who)) (then (global.set $who (local.get $c)) (return)))
    (global.set $conn (local.get $c))
    (if (i32.and (call $state (local.get $c)) (i32.const 64)) (then (call $other)))) ;; outgoing
  (func (export "dataReceived") (param $c i32) (param $ptr i32) (param $len i32) (local $what i32)
    (if (i32.ne (local.get $c) (global.get $who))
      (then (call $say (i32.add (i32.const 1000) (local.get $len))) (return)))
    (local.set $what (i32.load8_u (local.get $ptr)))
    (if (i32.eq (local.get $what) (i32.const 0x76)) (then (call $other))) ;; v: as it should be
    (if (i32.eq (local.get $what) (i32.const 0x75)) ;; u: unknown
      (then (global.set $conn (i32.const 9999)) (call $other)))
    (if (i32.eq (local.get $what) (i32.const 0x6c)) ;; l: closed
      (then (drop (call $lose (global.get $conn))) (call $other)))
    (if (i32.eq (local.get $what) (i32.const 0x77)) (then (call $other) (call $other))) ;; w: twice
    (if (i32.eq (local.get $what) (i32.const 0x61)) ;; a: while its loss is told
      (then (global.set $lost (i32.const 1)) (drop (call $abort (global.get $conn)))))
    (if (i32.eq (local.get $what) (i32.const 0x68)) ;; h: while it is told of that it is handed over
      (then (global.set $lost (i32.const 1)) (call $other)))
    (if (i32.eq (local.get $what) (i32.const 0x70)) ;; p: with a producer
      (then (drop (call $register (global.get $conn) (i32.const 1))) (call $other)))
    (if (i32.eq (local.get $what) (i32.const 0x74)) ;; t: in a handshake
      (then (call $say (call $tls (global.get $conn) (i32.const 80) (i32.const 9))) (call $other)))
    (if (i32.eq (local.get $what) (i32.const 0x6f)) ;; o: outgoing
      (then (drop (call $connect (i32.const 16) (i32.const 14) (i32.const 0)))))
    (if (i32.eq (local.get $what) (i32.const 0x67)) (then (call $to (i32.const 32) (i32.const 5)))) ;; g: to itself
    (if (i32.eq (local.get $what) (i32.const 0x6e)) (then (call $to (i32.const 48) (i32.const 6)))) ;; n: nobody
    (if (i32.eq (local.get $what) (i32.const 0x73)) (then (call $to (i32.const 64) (i32.const 6)))) ;; s: not allowed
    (if (i32.eq (local.get $what) (i32.const 0x65)) (then (call $to (i32.const 64) (i32.const 0)))) ;; e: no name
    (if (i32.eq (local.get $what) (i32.const 0x6d)) ;; m: more than the most
      (then (call $say (call $hand (global.get $conn) (i32.const 25) (i32.const 5) (i32.const 0) (i32.const 0x10_0001)))))
    (if (i32.eq (local.get $what) (i32.const 0x62)) (then (call $say (global.get $built)))) ;; b: in buildProtocol
    (if (i32.eq (local.get $what) (i32.const 0x78)) ;; x: bytes past the memory
      (then (drop (call $hand (global.get $conn) (i32.const 25) (i32.const 5) (i32.const 0x13_ffff) (i32.const 2)))))
    (if (i32.eq (local.get $what) (i32.const 0x79)) ;; y: a name past the memory
      (then (drop (call $hand (global.get $conn) (i32.const 0x13_ffff) (i32.const 5) (i32.const 0) (i32.const 2))))))
  (func (export "connectionLost") (param $c i32) (param $reason i32)
    (if (i32.and (global.get $lost) (i32.eq (local.get $c) (global.get $conn))) (then (call $other)))))
