package tlsrecord

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
)

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// The trace of RFC 8448, section 3, after its handshake.
const (
	clientSecret = "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5"
	serverSecret = "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643"

	// the iv, and the record, which show the key
	clientIV = "5b78923dee08579033e523d9"
	serverIV = "cf782b88dd83549aadf1e984"

	ticketRecord = `
		17030300de3a6b8f90414a97d6959c3487680de5134a2b240e6cffac116e95d41d6af8f6b580dcf3d11d63c758db289a
		015940252f55713e061dc13e078891a38efbcf5753ad8ef170ad3c7353d16d9da773b9ca7f2b9fa1b6c0d4a3d03f75e0
		9c30ba1e62972ac46f75f7b981be63439b2999ce13064615139891d5e4c5b406f16e3fc181a77ca475840025db2f0a77
		f81b5ab05b94c01346755f69232c86519d86cbeeac87aac347d143f9605d64f650db4d023e70e952ca49fe5137121c74
		bc2697687e248746d6df353005f3bce18696129c8153556b3b6c6779b37bf15985684f`
	ticketMessage = `
		040000c90000001efad6aac502000000b22c035d829359ee5ff7af4ec900000000262a6494dc486d2c8a34cb33fa90bf
		1b0070ad3c498883c9367c09a2be785abc55cd226097a3a982117283f82a03a143efd3ff5dd36d64e861be7fd61d2827
		db279cce145077d454a3664d4e6da4d29ee03725a6a4dafcd0fc67d2aea70529513e3da2677fa5906c5b3f7d8f92f228
		bda40dda721470f9fbf297b5aea617646fac5c03272e970727c621a79141ef5f7de6505e5bfbc388e93343694093934a
		e4d3570008002a000400000400`
	clientData = `
		1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b
		62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4`
	serverData = `
		17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb501a59a8
		fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d`
	clientClose = "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3"
	serverClose = "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9"
	dataBothWay = `000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031`
)

// TestExpandLabel holds the key schedule's HMAC against the standard library's, and
// allocates nothing.
func TestExpandLabel(t *testing.T) {
	for i := range suites {
		s := &suites[i]
		of := sha256.New
		if s.secret == sha512.Size384 {
			of = sha512.New384
		}
		secret := pattern(s.secret)
		for label, n := range map[string]int{"key": s.key, "iv": ivSize, "traffic upd": s.secret} {
			info := append([]byte{0, byte(n), byte(6 + len(label))}, "tls13 "+label+"\x00"...)
			want, err := hkdf.Expand(of, secret, string(info), n)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, n)
			allocated := testing.AllocsPerRun(10, func() { s.expandLabel(secret, label, got) })
			if !bytes.Equal(got, want) || allocated > 0 {
				t.Errorf("%s, %q: %x with %v allocations, wanted %x and none",
					tls.CipherSuiteName(s.id), label, got, allocated, want)
			}
		}
	}
}

// TestTrace follows RFC 8448, section 3: both ends make its records, and take
// the other's.
func TestTrace(t *testing.T) {
	ends := map[bool]*Conn{}
	for _, client := range []bool{true, false} {
		s := State{Suite: tls.TLS_AES_128_GCM_SHA256, Client: client}
		s.In.Secret, s.Out.Secret = unhex(t, clientSecret), unhex(t, serverSecret)
		if client {
			s.In, s.Out = s.Out, s.In
		}
		c, err := New(s)
		if err != nil {
			t.Fatal(err)
		}
		ends[client] = c
	}
	client, server := ends[true], ends[false]
	if !bytes.Equal(client.out.iv[:], unhex(t, clientIV)) || !bytes.Equal(client.in.iv[:], unhex(t, serverIV)) {
		t.Errorf("the client's ivs are %x and %x", client.out.iv, client.in.iv)
	}
	data := unhex(t, dataBothWay)
	for _, step := range []struct {
		name     string
		from, to *Conn
		sealed   []byte
		record   string
		plain    []byte
		end      error
	}{
		{"ticket", server, client, server.out.seal(nil, handshake, unhex(t, ticketMessage)), ticketRecord, nil, nil},
		{"client's data", client, server, client.Seal(nil, data), clientData, data, nil},
		{"server's data", server, client, server.Seal(nil, data), serverData, data, nil},
		{"client's close_notify", client, server, client.CloseNotify(nil), clientClose, nil, io.EOF},
		{"server's close_notify", server, client, server.CloseNotify(nil), serverClose, nil, io.EOF},
	} {
		record := unhex(t, step.record)
		if !bytes.Equal(step.sealed, record) {
			t.Errorf("%s: sealed as %x, wanted %x", step.name, step.sealed, record)
		}
		plain, err := step.to.Open(nil, record)
		if !bytes.Equal(plain, step.plain) || !errors.Is(err, step.end) {
			t.Errorf("%s: opened as %x, %v; wanted %x, %v", step.name, plain, err, step.plain, step.end)
		}
	}
}
