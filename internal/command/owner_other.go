//go:build !unix

package command

import "io/fs"

// ownerOf knows no owners.
func ownerOf(string) (name string, mode fs.FileMode, other, known bool) { return "", 0, false, false }

// ownerText has nothing to say of them.
func ownerText(string) string { return "" }
