package guest

import (
	"strings"
	"testing"
)

// TestServerName: which names startTLSClient takes.
func TestServerName(t *testing.T) {
	for name, want := range map[string]bool{
		"localhost": true, "mail.example.com": true, "mail.example.com.": true, "192.0.2.1": true, "2001:db8::1": true,
		"_dmarc.example.com": true, "xn--bcher-kva.example": true, "a-b.example": true,
		"": false, ".": false, "..": false, "a..b": false, ".a": false, "-a": false, "a b": false, "a:25": false,
		"[::1]": false, "fe80::1%eth0": false, "bücher.example": false, "a\x00b": false, "*.example.com": false,
		"tls://a": false, strings.Repeat("a.", 126) + "a": true, strings.Repeat("a.", 127): false,
	} {
		if serverName([]byte(name)) != want {
			t.Errorf("%.40q: found %t, wanted %t", name, !want, want)
		}
	}
}
