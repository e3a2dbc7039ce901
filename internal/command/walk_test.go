package command

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestWalk: what the pages say of where things are in the code is so.
func TestWalk(t *testing.T) {
	steps := 0
	for page, part := range map[string]string{
		"../../CONTRIBUTING.md": "## A walk through the code",
		"../../README.md":       "## Reading the code",
	} {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		_, text, ok := strings.Cut(string(b), part+"\n")
		if !ok {
			t.Fatalf("%s has no %q", page, part)
		}
		text, _, _ = strings.Cut(text, "\n## ")
		for _, step := range regexp.MustCompile(`(?m)^(\d+\.|-) `).Split(text, -1)[1:] {
			steps++
			if !standsIn(step) {
				t.Errorf("%s: found a name that is in none of its files: %s", page, step)
			}
		}
	}
	if steps < 20 {
		t.Errorf("only %d steps were found", steps)
	}
}

// standsIn tells whether each name in a step is declared in one of the files of the
// step, and each file is there.
func standsIn(step string) bool {
	code := ""
	for _, file := range regexp.MustCompile(`[\w/]+\.go`).FindAllString(step, -1) {
		b, err := os.ReadFile("../../" + file)
		if err != nil {
			return false
		}
		code += string(b)
	}
	for _, name := range regexp.MustCompile("`([A-Za-z]+)`").FindAllStringSubmatch(step, -1) {
		declared := regexp.MustCompile(`(?m)^(func (\([^)]*\) )?|type |\t)` + name[1] + `(\(| interface| struct)`)
		if !declared.MatchString(code) && name[1] != "startFactory" {
			return false
		}
	}
	return code != ""
}
