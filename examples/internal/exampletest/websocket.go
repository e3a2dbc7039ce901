package exampletest

import "encoding/binary"

// Masked is a frame of WebSocket as a client sends it (RFC 6455, section 5.2).
func Masked(first byte, payload string) string {
	b := []byte{first}
	switch size := len(payload); {
	case size < 126:
		b = append(b, 0x80|byte(size))
	case size < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(size))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(size))
	}
	key := []byte{0x12, 0x34, 0xa5, 0xff}
	b = append(b, key...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return string(b)
}
