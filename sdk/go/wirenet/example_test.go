package wirenet_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/sdktest"
	"github.com/wirehost/wirehost/sdk/go/wirenet"
)

// What has a Serve(net.Listener) goes on unchanged. In a guest Register stands
// in func init, and func main is empty.
func ExampleServe() {
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintln(w, "hello from", r.URL.Path)
		}),
		IdleTimeout: time.Minute,
	}
	wirehost.Register(wirenet.Serve(server.Serve, wirenet.Options{}))
}

// A function of a net.Conn runs in a goroutine for each connection. Here it runs
// without a host, as in a unit test: natively goroutines do not wait for
// callbacks, so the test turns the clock until the connection has ended.
func ExampleServeConn() {
	greet := func(c net.Conn) {
		lines := bufio.NewScanner(c)
		for lines.Scan() {
			fmt.Fprintf(c, "hello, %s\n", strings.ToUpper(lines.Text()))
		}
		_, _ = io.WriteString(c, "bye\n") // where the peer has gone nobody reads it
	}
	s, err := sdktest.Start(wirenet.ServeConn(greet, wirenet.Options{}), sdktest.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Stop()
	peer := s.Accept()
	peer.Send("world\n")
	peer.Finish()
	for {
		if _, ended := peer.Ended(); ended {
			break
		}
		runtime.Gosched()
		s.Advance(time.Millisecond)
	}
	fmt.Print(peer.Output())
	// Output:
	// hello, WORLD
	// bye
}
