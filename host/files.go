package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/wirehost/wirehost/internal/bounded"
)

// readPEM reads a file of certificates or of a key.
func (h *Host) readPEM(ctx context.Context, path string) ([]byte, error) {
	b, err := h.files.Read(ctx, path, bounded.MaxText)
	if errors.Is(err, bounded.ErrTooLong) {
		err = fmt.Errorf("%s: %w, wanted at most that", path, err)
	}
	return b, err
}
