package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

// ownKey marks the connections that only another process of the program has.
type ownKey struct{}

func asOwn(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, ownKey{}, true)
}

// stranger says why who asks on TCP is not known as an administrator, or nothing.
func (s *Server) stranger(r *http.Request) *Problem {
	if s.o.Token == nil || isPage(r) { // then TLS itself has asked for a certificate, or anybody may ask
		return nil
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return nil
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(scheme, "Bearer") || token == "" {
		return kindUnauthorized.problem("found no token, wanted Authorization: Bearer and that of admin.token_file")
	}
	if !same(token, s.o.Token()) {
		return kindUnauthorized.problem("found another token than that of admin.token_file")
	}
	return nil
}

// same compares two secrets in a time that says nothing of either.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return b != "" && subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// seldom logs what net/http complains of, such as handshakes that fail, once a second:
// whoever reaches the port decides how often there is something.
type seldom struct {
	log  hclog.Logger
	at   atomic.Int64 // of the last line, in ns
	more atomic.Int64 // complaints since then
}

func (l *seldom) Write(line []byte) (int, error) {
	now, last := time.Now().UnixNano(), l.at.Load()
	if now-last < int64(time.Second) || !l.at.CompareAndSwap(last, now) {
		l.more.Add(1)
		return len(line), nil
	}
	l.log.Warn("http", "err", cut(string(bytes.TrimSpace(line))), "more_before", l.more.Swap(0))
	return len(line), nil
}
