package credentials

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/wirehost/wirehost/internal/bounded"
)

const (
	// minToken is how many characters a token must have: one drawn by chance from the
	// 64 of base64 has 96 bits then.
	minToken = 16
	maxToken = 4096
)

// ReadToken reads a file that has a bearer token alone, and white space around it. As ssh
// with its keys, it refuses a file of the user's own that others may read. No error has
// a part of it.
func ReadToken(ctx context.Context, files *bounded.Reader, path string) (string, error) {
	text, err := bounded.Use(ctx, files, path, 2*maxToken, func(info fs.FileInfo, r io.Reader) ([]byte, error) {
		if mode := info.Mode().Perm(); isOwn(info) && mode&0o077 != 0 {
			return nil, fmt.Errorf("%s: found mode %04o, wanted one that lets nobody else in, such as 0600", path, mode)
		}
		return io.ReadAll(r)
	})
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	odd := strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
	switch {
	case odd:
		return "", fmt.Errorf("%s: found more than one word, or a character that no token has, "+
			"wanted a token of ASCII characters", path)
	case len(token) < minToken || len(token) > maxToken:
		return "", fmt.Errorf("%s: found %d characters, wanted a token of %d to %d", path, len(token), minToken,
			maxToken)
	}
	return token, nil
}
