package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// nginxPath is nginx's program, in PATH or where Debian has it, and its stream module.
func nginxPath() (program, module string, err error) {
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if program, err = exec.LookPath(name); err == nil {
			break
		}
	}
	if err != nil {
		return "", "", err
	}
	module = "/usr/lib/nginx/modules/ngx_stream_module.so"
	_, err = os.Stat(module)
	return program, module, err
}

// serveNginx becomes nginx, one process, whose stream module takes TLS off and passes what
// is left to the server epoll, a child, and back.
func serveNginx(stdout io.Writer) error {
	runtime.LockOSThread() // the child dies with this thread, which goes on as nginx
	program, module, err := nginxPath()
	if err != nil {
		return err
	}
	addr, err := freeAddress()
	if err != nil {
		return err
	}
	echo, err := startEcho()
	if err != nil {
		return err
	}
	dir, err := certificateFolder()
	if err != nil {
		return err
	}
	conf := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(nginxConf, module, dir, dir, addr, dir, dir, echo)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return err
	}
	if err := startKnock(addr, stdout); err != nil {
		return err
	}
	return syscall.Exec(program, []string{program, "-p", dir, "-c", conf}, os.Environ())
}

// startEcho starts the server epoll and returns where it listens.
func startEcho() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(self, "serve", "epoll")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	return strings.TrimSpace(strings.TrimPrefix(line, "listening ")), err
}

// Sessions go on by tickets, as with Go. Buffers are those of a record.
const nginxConf = `
load_module %s;
daemon off;
master_process off;
worker_rlimit_nofile 30000;
pid %s/pid;
error_log %s/error.log crit;
events { worker_connections 30000; }
stream {
	server {
		listen %s ssl;
		ssl_certificate %s/cert.pem;
		ssl_certificate_key %s/key.pem;
		ssl_protocols TLSv1.3;
		proxy_buffer_size 16k;
		proxy_pass %s;
	}
}
`
