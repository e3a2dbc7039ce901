package main

import (
	"bufio"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/term"
)

// shell is one channel: a command, or lines until exit.
type shell struct {
	server   *server
	user     string
	channel  ssh.Channel
	terminal *term.Terminal // where the client asked for one
	in       *bufio.Reader  // where it did not
}

// serve answers a channel's requests. pty-req, shell and exec are those of RFC
// 4254, section 6.
func (s *shell) serve(requests <-chan *ssh.Request) {
	for r := range requests {
		ok := true
		switch r.Type {
		case "pty-req":
			s.terminal = term.NewTerminal(s.channel, "wirehost> ")
		case "shell":
			go s.lines()
		case "exec":
			var command struct{ Line string }
			if ok = ssh.Unmarshal(r.Payload, &command) == nil; ok {
				go s.command(command.Line)
			}
		case "env", "window-change":
		default:
			ok = false
		}
		if r.WantReply {
			if err := r.Reply(ok, nil); err != nil {
				return
			}
		}
	}
}

// command runs one line and closes the channel.
func (s *shell) command(line string) {
	s.in = bufio.NewReader(s.channel)
	_, status := s.run(s.channel, line)
	s.exit(status)
}

// lines runs lines until exit or the end.
func (s *shell) lines() {
	var out io.Writer = s.channel
	read := s.plainLine
	if s.terminal != nil {
		out, read = s.terminal, s.terminal.ReadLine
	} else {
		s.in = bufio.NewReader(s.channel)
	}
	for status := uint32(0); ; {
		line, err := read()
		if err != nil {
			s.exit(status)
			return
		}
		var more bool
		if more, status = s.run(out, line); !more {
			s.exit(status)
			return
		}
	}
}

// plainLine reads a line where there is no terminal to edit it in.
func (s *shell) plainLine() (string, error) {
	line, err := s.in.ReadString('\n')
	if err == io.EOF && line != "" {
		return line, nil
	}
	return line, err
}

// run runs one line. more is false after exit.
func (s *shell) run(out io.Writer, line string) (more bool, status uint32) {
	name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch name {
	case "":
	case "help":
		fmt.Fprint(out, "echo TEXT, cat, whoami, uptime, sleep DURATION, memory, exit\n")
	case "echo":
		fmt.Fprintln(out, rest)
	case "cat":
		if s.in == nil {
			fmt.Fprintln(out, "cat: not on a terminal")
			return true, 1
		}
		if _, err := io.Copy(out, s.in); err != nil {
			return false, 1
		}
	case "whoami":
		fmt.Fprintln(out, s.user)
	case "uptime":
		fmt.Fprintln(out, time.Since(s.server.started).Round(time.Millisecond))
	case "sleep":
		d, err := time.ParseDuration(rest)
		if err != nil {
			fmt.Fprintln(out, err)
			return true, 1
		}
		time.Sleep(d)
	case "memory":
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Fprintf(out, "%d goroutines, %d KiB\n", runtime.NumGoroutine(), m.Sys>>10)
	case "exit":
		return false, 0
	default:
		fmt.Fprintf(out, "%s: no such command; help lists them\n", name)
		return true, 127
	}
	return true, 0
}

// exit tells the client the status and closes the channel.
func (s *shell) exit(status uint32) {
	_, err := s.channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
	if err == nil {
		err = s.channel.Close()
	}
	_ = err // the client has gone: what else could be told it?
}
