// A load generator: the same request over N TLS connections that are kept, one after the other on
// each, for some seconds. It prints one line of JSON; times are in milliseconds.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"sort"
	"sync"
	"time"
)

type result struct {
	Answered  int     `json:"answered"`
	Errors    int     `json:"errors"`
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50"`
	P99       float64 `json:"p99"`
}

// client is one connection, and what came of the requests on it; it ends with the first failure.
type client struct {
	latencies []time.Duration
	failure   error
}

func main() {
	address := flag.String("url", "", "https://127.0.0.1:PORT/PATH")
	authority := flag.String("ca", "", "file of the CA")
	name := flag.String("name", "", "the server's name in its certificate")
	bodyFile := flag.String("body", "", "file of the request's body")
	connections := flag.Int("connections", 1, "")
	seconds := flag.Float64("seconds", 1, "")
	flag.Parse()

	target, err := url.Parse(*address)
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(content(*authority))
	settings := &tls.Config{RootCAs: roots, ServerName: *name, NextProtos: []string{"http/1.1"}}
	request := written(target.Path, *name, content(*bodyFile))

	clients := make([]client, *connections)
	duration := time.Duration(*seconds * float64(time.Second))
	began := time.Now()
	var running sync.WaitGroup
	for index := range clients {
		running.Go(func() { clients[index].run(target.Host, settings, request, began.Add(duration)) })
	}
	running.Wait()
	check(json.NewEncoder(os.Stdout).Encode(summed(clients, time.Since(began))))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func content(path string) []byte {
	found, err := os.ReadFile(path)
	check(err)
	return found
}

func written(path, host string, body []byte) []byte {
	var request bytes.Buffer
	fmt.Fprintf(&request, "POST %s?timeout=5s HTTP/1.1\r\nHost: %s\r\n", path, host)
	fmt.Fprintf(&request, "User-Agent: kube-apiserver-admission\r\nContent-Length: %d\r\n", len(body))
	request.WriteString("Accept: application/json, */*\r\nContent-Type: application/json\r\n\r\n")
	request.Write(body)
	return request.Bytes()
}

func (c *client) run(host string, settings *tls.Config, request []byte, end time.Time) {
	connection, err := tls.Dial("tcp", host, settings)
	if err != nil {
		c.failure = err
		return
	}
	defer connection.Close()
	answers := bufio.NewReaderSize(connection, 32*1024)
	// Once at least: on a busy machine the handshakes alone may take all of the time.
	for first := true; first || time.Now().Before(end); first = false {
		began := time.Now()
		if err := ask(connection, answers, request); err != nil {
			c.failure = err
			return
		}
		c.latencies = append(c.latencies, time.Since(began))
	}
}

func ask(connection *tls.Conn, answers *bufio.Reader, request []byte) error {
	if err := connection.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := connection.Write(request); err != nil {
		return err
	}
	answer, err := http.ReadResponse(answers, nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK || !bytes.Contains(body, []byte(`"patch"`)) {
		return fmt.Errorf("answered %d with no patch: %.200s", answer.StatusCode, body)
	}
	return nil
}

func summed(clients []client, elapsed time.Duration) result {
	var all []time.Duration
	found := result{}
	for _, it := range clients {
		all = append(all, it.latencies...)
		if it.failure != nil {
			if found.Errors == 0 { // the others' are most likely the same
				log.Print(it.failure)
			}
			found.Errors++
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	found.Answered = len(all)
	found.PerSecond = float64(len(all)) / elapsed.Seconds()
	found.P50, found.P99 = percentile(all, 50), percentile(all, 99)
	return found
}

// percentile is the smallest time that so many percent of the requests did not exceed.
func percentile(ordered []time.Duration, percent int) float64 {
	if len(ordered) == 0 {
		return 0
	}
	rank := (len(ordered)*percent + 99) / 100
	return float64(ordered[rank-1].Microseconds()) / 1000
}
