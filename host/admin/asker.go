package admin

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os/user"
	"strconv"
	"strings"

	"github.com/wirehost/wirehost/host"
)

// UserAgent is what the command's requests begin their User-Agent with: the log tells
// them from those of other programs.
const UserAgent = "wirehost/"

type askerKey struct{}

// knowAsker keeps who has opened a connection, for its requests.
func knowAsker(ctx context.Context, c net.Conn) context.Context {
	var by host.By
	if uid, pid, known := peerOf(c); known {
		by.UID, by.PID = uid, pid
	} else if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		by.Peer = a.String()
	}
	return context.WithValue(ctx, askerKey{}, by)
}

// userName is a user's name, or the number where there is none.
func userName(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil && u.Username != "" {
		return u.Username
	}
	return id
}

// by says who makes a request, and how.
func by(r *http.Request) host.By {
	if r.Context().Value(ownKey{}) != nil {
		var b host.By
		if json.Unmarshal([]byte(r.Header.Get(byHeader)), &b) == nil { // else nobody is named
			return b
		}
	}
	b, _ := r.Context().Value(askerKey{}).(host.By)
	if b.PID != 0 {
		b.User = userName(b.UID) // not when it connects: a name may come from another machine
	}
	b.Trigger = "api"
	if strings.HasPrefix(r.UserAgent(), UserAgent) {
		b.Trigger = "command"
	}
	return b
}

// byHeader says for whom a process of the program asks another one. It is believed where
// ServeConn answers.
const byHeader = "Wirehost-By"

// PassOn has a request, which ServeConn is to answer, say who asks for it.
func PassOn(r *http.Request, b host.By) error {
	text, err := json.Marshal(b)
	if err == nil {
		r.Header.Set(byHeader, string(text))
	}
	return err
}

// asking is the context of the changes that a request makes.
func asking(r *http.Request) context.Context { return host.WithBy(r.Context(), by(r)) }
