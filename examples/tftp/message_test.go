package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseRequest(t *testing.T) {
	const text = "\x00\x02file\x00NetASCII\x00blksize\x0065464\x00TSIZE\x0012\x00timeout\x003\x00new\x001\x00"
	q, err := parseRequest([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	accept := strings.Join(q.accept, " ")
	if q.op != opWrite || q.name != "file" || !q.text || q.block != 16<<10 || q.size != 12 ||
		q.timeout != 3*time.Second || accept != "blksize 16384 tsize 12 timeout 3" {
		t.Errorf("found %+v", q)
	}
	for text, want := range map[string]error{
		"": errIllegal, "\x00\x01": errIllegal, "1\x00": errIllegal,
		"\x00\x01f\x00octet": errIllegal, "\x00\x03f\x00octet\x00": errIllegal,
		"\x00\x01f\x00mail\x00": errIllegal, "\x00\x01f\x00octet\x00blksize\x00": errIllegal,
		"\x00\x01f\x00":                          errIllegal,
		"\x00\x01f\x00octet\x00blksize\x007\x00": errOption, "\x00\x01f\x00octet\x00timeout\x00256\x00": errOption,
		"\x00\x02f\x00octet\x00tsize\x00-1\x00": errOption, "\x00\x01f\x00octet\x00other\x00x\x00": nil,
		"\x00\x01f\x00octet\x00tsize\x00x\x00": errOption, "\x00\x01f\x00octet\x00blksize\x0065465\x00": errOption,
	} {
		if _, err := parseRequest([]byte(text)); !errors.Is(err, want) {
			t.Errorf("%q: found %v, wanted %v", text, err, want)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte("\x00\x01file\x00octet\x00blksize\x001024\x00tsize\x000\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := parseRequest(b)
		if err == nil && (q.block < 8 || q.block > 16<<10 || q.timeout < time.Second || len(q.name) > len(b)) {
			t.Errorf("found %+v", q)
		}
	})
}
