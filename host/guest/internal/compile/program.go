package compile

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// programID tells the builds of a program apart: by what the linker says, or
// else by its bytes.
func programID(command []string) (string, error) {
	name := "/proc/self/exe"
	if len(command) > 0 {
		name = command[0]
	} else if _, err := os.Stat(name); err != nil {
		if name, err = os.Executable(); err != nil {
			return "", err
		}
	}
	name, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("the compiler: %w", err)
	}
	f, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("the compiler: %w", err)
	}
	defer f.Close()
	if e, err := elf.NewFile(f); err == nil {
		if s := e.Section(".note.go.buildid"); s != nil {
			if id, err := s.Data(); err == nil {
				return hex.EncodeToString(id), nil
			}
		}
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("the compiler: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
