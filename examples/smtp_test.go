package examples

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/tooltest"
)

// mailBy sends a mail with curl.
func mailBy(t *testing.T, curl, addr, to, text string, more ...string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	args := append([]string{"-sS", "--max-time", "20", "smtp://" + addr, "--mail-from", "a@example.com", "--mail-rcpt",
		to, "-T", "-"}, more...)
	return runIn(ctx, text, curl, args...)
}

// TestSMTP delivers mails, to one mailbox, or to one of each connection.
func TestSMTP(t *testing.T) {
	curl := tooltest.Find(t, "curl", "Debian: apt-get install curl")
	for _, tc := range []struct {
		isolation  config.Isolation
		loops      int
		oneMailbox bool
	}{
		{config.IsolationShared, 2, true}, {config.IsolationLoop, 1, true}, {config.IsolationConnection, 2, false},
	} {
		t.Run(string(tc.isolation), func(t *testing.T) {
			s := serve(t, "smtp", isolatedAs(tc.isolation, goServer(tc.loops, nil)))
			testSMTP(t, s, curl, func(nth int) string {
				if !tc.oneMailbox {
					nth = 1
				}
				return fmt.Sprintf("%d kept of %d", nth, nth)
			})
		})
	}
}

// testSMTP delivers mails. kept is what is logged of the nth.
func testSMTP(t *testing.T, s *server, curl string, kept func(nth int) string) {
	addr := s.addr["smtp"]
	for i := range 3 {
		if err := mailBy(t, curl, addr, "b@example.org", "Subject: hi\r\n\r\nhello\r\n.leading dot\r\n"); err != nil {
			t.Fatal(err)
		}
		want := kept(i + 1)
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("nothing about %q in the log\n%s", want, s.log)
		}
	}
	if err := mailBy(t, curl, addr, "b@elsewhere.net", "x\r\n"); err == nil || !strings.Contains(err.Error(), "550") {
		t.Errorf("found %v, wanted 550: no relaying", err)
	}
	if err := mailBy(t, curl, addr, "b@example.org", strings.Repeat("too much\r\n", 200_000), "-v"); err == nil ||
		!strings.Contains(err.Error(), "552") {
		t.Errorf("found %v, wanted 552: too much", err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := mailBy(t, curl, addr, "b@example.org", strings.Repeat("line\r\n", 50_000)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if log := s.log.String(); !strings.Contains(log, kept(11)) || strings.Count(log, " kept of ") != 11 {
		t.Errorf("wanted 11 mails\n%s", log)
	}
}
